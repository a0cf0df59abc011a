"""Tiles that are read without waiting are those that are read in the usual way."""

from pathlib import Path

import pytest

from wsi import open_slide
from wsi.native.source import ByteSource, LocalFile


def test_a_peek_gives_the_tile_or_nothing(cmu_slide: Path) -> None:
    cmu_slide.read_bytes()  # now the system has it in memory
    with open_slide(cmu_slide) as slide:
        native = slide.native_tiles(0)
        assert native is not None
        for cell in ((0, 0), (4, 5), (9, 12)):
            assert native.peek(*cell) in (native.read(*cell), None)


def test_a_peek_of_a_local_file_never_gives_too_little(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)))
    source = LocalFile(str(path))
    assert source.peek(10, 5) in (bytes(range(10, 15)), None)
    assert source.peek(190, 20) is None
    assert source.peek(500, 1) is None
    source.close()
    assert source.peek(10, 5) is None


def test_where_the_system_cannot_tell_nothing_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    monkeypatch.setattr("wsi.native.source._NOWAIT", 1 << 30)  # no system knows it
    source = LocalFile(str(path))
    assert source.peek(0, 3) is None
    source.close()


def test_other_sources_give_nothing() -> None:
    class Elsewhere(ByteSource):
        gap = 0

        def _fetch(self, runs: object) -> list[bytes | OSError]:
            return []

        def close(self) -> None:
            pass

    assert Elsewhere().peek(0, 1) is None
