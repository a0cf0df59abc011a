"""Archives of tiny patches, and short pretrainings on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.data.conftest import archive, import_set
from tests.tiling.importing.pictures import picture, save, write_csv
from tests.workflows.conftest import Microtome, Ran

__all__ = ["archive"]

SIDE = 32
TINY = ("--encoder", "resnet10t", "--init", "random", "--input-px", SIDE, "--batch", 8)

Pretrain = Callable[..., Ran]


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patches of two slides without labels."""
    root = tmp_path_factory.mktemp("unlabelled")
    rows = []
    for i in range(12):
        save(root / f"q{i % 2}" / f"{i}.png", picture(700 + i))
        rows.append({"file": f"q{i % 2}/{i}.png", "patient": f"q{i % 2}"})
    import_set(write_csv(root / "set.csv", rows), root / "u.zarr", "none")
    return root / "u.zarr"


@pytest.fixture
def pretrain(microtome: Microtome, archive: Path) -> Pretrain:
    """Run `microtome pretrain` on the archive with a tiny network."""

    def run(out: Path, method: str, *words: object) -> Ran:
        return microtome(
            "pretrain", archive, "--out", out, "--method", method, *TINY, *words, "--json"
        )

    return run


def lines_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Read the lines of one kind."""
    import json

    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


def curve(folder: Path) -> list[tuple[int, float]]:
    """Give step and loss."""
    return [(line["step"], line["loss"]) for line in lines_of(folder, "step")]


def is_finite(folder: Path) -> bool:
    """Whether every loss is a number."""
    return bool(np.isfinite([loss for _, loss in curve(folder)]).all())
