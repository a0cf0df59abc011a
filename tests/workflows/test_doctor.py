import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workflows.checks import codecs, machine, packages, place

Run = Callable[..., Any]


def _states(checks: Any) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def test_doctor_finds_this_machine_good_and_leaves_nothing(microtome: Run, tmp_path: Path) -> None:
    ran = microtome("doctor", "--out", tmp_path / "not" / "yet.zarr", "--json")
    assert ran.code == 0
    assert ran.document["good"]
    assert not list(tmp_path.iterdir())
    names = [check["name"] for check in ran.document["checks"]]
    assert {"OpenSlide", "codec jpeg:95", "inodes", "storage latency", "memory"} <= set(names)


def test_a_place_below_a_file_cannot_be_written(microtome: Run, monkeypatch: Any) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tiling.storage.LocalStorage.write", refuse)
    ran = microtome("doctor")
    assert ran.code == 3
    assert "cannot write to" in ran.out
    assert "choose an --out where you may write" in ran.out


@pytest.mark.parametrize(
    ("blocks", "inodes", "total", "expected"),
    [
        (1 << 30, 1 << 20, 1 << 21, {"disk room": "ok", "inodes": "ok"}),
        (1, 1 << 20, 1 << 21, {"disk room": "fail", "inodes": "ok"}),
        (1 << 30, 7, 1 << 21, {"disk room": "ok", "inodes": "fail"}),
        (1 << 30, 0, 0, {"disk room": "ok"}),
    ],
    ids=["roomy", "full", "no inodes", "inodes on demand"],
)
def test_room_and_inodes_are_counted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    blocks: int,
    inodes: int,
    total: int,
    expected: dict[str, str],
) -> None:
    disk = SimpleNamespace(f_bavail=blocks, f_frsize=4096, f_favail=inodes, f_files=total)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    found = _states(place.check_place(str(tmp_path)))
    assert {name: found[name] for name in found if name != "storage latency"} == expected


def test_slow_storage_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "SLOW_S", 0.0)
    assert _states(place.check_place(str(tmp_path)))["storage latency"] == "note"


def test_storage_of_an_extra_that_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object) -> None:
        raise ImportError("No module named 's3fs'")

    monkeypatch.setattr("tiling.storage.ObjectStorage.write", missing)
    monkeypatch.setattr("tiling.storage.ObjectStorage.delete", lambda *_: None)
    (check,) = place.check_place("s3://bucket/a.zarr")
    assert (check.state, check.advice) == ("fail", "pip install 'microtome[s3]' for s3:// places")


def test_a_codec_that_gives_other_pixels_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiling.encoding.decode_patch", lambda *_: codecs._picture()[::-1])
    assert set(_states(codecs.check_codecs()).values()) == {"fail"}


def test_a_package_that_does_not_load_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "CORE", {"no_such_module": "no-such-package"})
    (check,) = packages.check_packages()
    assert check.state == "fail"
    assert check.advice == "pip install --force-reinstall no-such-package"


@pytest.mark.parametrize(
    ("free", "state"), [(1 << 20, "fail"), (700 << 20, "note"), (1 << 40, "ok"), (None, "note")]
)
def test_memory_is_held_against_the_workers(
    monkeypatch: pytest.MonkeyPatch, free: int | None, state: str
) -> None:
    monkeypatch.setattr(machine, "_memory", lambda: free)
    monkeypatch.setattr(machine, "cores", lambda: 2)
    assert _states(machine.check_machine())["memory"] == state


def test_version_tells_of_every_package(microtome: Run) -> None:
    known = microtome("version", "--json").document
    assert known["archive_format"] == 1
    assert known["packages"]["numpy"]
    assert "openslide-bin" in microtome("version").out
