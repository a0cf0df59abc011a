from itertools import pairwise
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi.errors import RegionError
from wsi.native.source import open_source, plan_runs

CONTENT = np.random.default_rng(1).integers(0, 256, 5000, dtype=np.uint8).tobytes()
RANGES = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 900)), max_size=30)


def slow_runs(ranges: list[tuple[int, int]], gap: int) -> set[int]:
    """Bytes that are fetched, found byte by byte: wanted ones, and holes of at most `gap`."""
    wanted = sorted({at for start, n in ranges for at in range(start, start + n)})
    fetched = set(wanted)
    for left, right in pairwise(wanted):
        if right - left - 1 <= gap:
            fetched |= set(range(left, right))
    return fetched


@given(RANGES, st.integers(0, 200))
def test_runs_hold_what_the_slow_twin_fetches(ranges: list[tuple[int, int]], gap: int) -> None:
    runs = plan_runs([start for start, _ in ranges], [n for _, n in ranges], gap)
    fetched = [at for run in runs for at in range(run.start, run.stop)]
    assert len(fetched) == len(set(fetched))
    assert set(fetched) == slow_runs(ranges, gap)
    members = sorted(i for run in runs for i in run.members)
    assert members == [i for i, (_, n) in enumerate(ranges) if n > 0]


def test_runs_stay_below_the_bound() -> None:
    size = 1 << 20
    runs = plan_runs([i * size for i in range(10)], [size] * 10, 0)
    assert max(run.stop - run.start for run in runs) <= 4 << 20
    assert len(runs) == 3


@pytest.fixture(params=["local", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        (tmp_path / "bytes").write_bytes(CONTENT)
        return str(tmp_path / "bytes")
    with fsspec.open("memory://native/bytes", "wb") as file:
        file.write(CONTENT)
    return "memory://native/bytes"


def test_ranges_come_in_the_order_asked(location: str) -> None:
    source = open_source(location)
    offsets, counts = [4000, 0, 100, 4000, 50], [10, 5, 0, 1000, 100]
    found = source.read_ranges(offsets, counts)
    source.close()
    expected = [CONTENT[at : at + n] for at, n in zip(offsets, counts, strict=True)]
    assert [bytes(piece) for piece in found] == expected  # type: ignore[arg-type]


def test_a_range_behind_the_end_fails_alone(location: str) -> None:
    source = open_source(location)
    good, short, outside = source.read_ranges([4900, 4950, 9000], [20, 100, 5])
    source.close()
    assert bytes(good) == CONTENT[4900:4920]  # type: ignore[arg-type]
    assert isinstance(short, RegionError)
    assert "only 50 of 100 bytes at 4950" in str(short)
    assert isinstance(outside, RegionError)


def test_a_failing_read_is_tried_range_by_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bytes").write_bytes(CONTENT)
    source = open_source(str(tmp_path / "bytes"))
    real = source._fetch

    def fetch(runs: list) -> list:  # type: ignore[type-arg]
        bad = [run.start <= 130 < run.stop for run in runs]
        got = real(runs)
        return [OSError(5, "bad sector") if b else g for b, g in zip(bad, got, strict=True)]

    monkeypatch.setattr(source, "_fetch", fetch)
    first, second, third = source.read_ranges([100, 120, 140], [20, 20, 20])
    source.close()
    assert bytes(first) == CONTENT[100:120]  # type: ignore[arg-type]
    assert isinstance(second, RegionError)
    assert "bad sector" in str(second)
    assert bytes(third) == CONTENT[140:160]  # type: ignore[arg-type]
