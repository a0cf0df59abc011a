from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from workflows.experiments.cells import CellStore, Result
from workflows.experiments.loop import Tell, run_cells
from workflows.progress import Rates, Update, describe, ignore


@dataclass(frozen=True)
class Step:
    name: str
    work: float = 1.0

    def document(self) -> dict[str, str]:
        return {"what": self.name}


CELLS = [Step("a"), Step("b", 3.0), Step("c")]


@pytest.fixture
def store(tmp_path: Path) -> CellStore:
    found = CellStore(str(tmp_path / "out"))
    found.start({}, "abc", overwrite=False)
    return found


def _result(cell: Step, tell: Tell) -> Result:
    tell(0.5)
    return Result({"found": cell.name.upper()}, {"x": np.zeros(1)})


def test_cells_that_are_there_are_not_computed_again(store: CellStore) -> None:
    asked: list[str] = []

    def compute(cell: Step, tell: Tell) -> Result:
        asked.append(cell.name)
        return _result(cell, tell)

    run_cells(CELLS[:2], store, compute, ignore)
    run_cells(CELLS, store, compute, ignore)
    assert asked == ["a", "b", "c"]
    found = store.read("b")
    assert found is not None
    assert found.document["what"] == "b"
    assert found.document["found"] == "B"
    assert found.document["seconds"] >= 0


def test_a_cell_that_fails_is_written_down_and_the_others_go_on(store: CellStore) -> None:
    def compute(cell: Step, tell: Tell) -> Result:
        if cell.name == "b":
            raise ValueError("the loss is nan")
        return _result(cell, tell)

    told: list[Update] = []
    run_cells(CELLS, store, compute, told.append)
    assert store.read("a") is not None
    assert store.read("c") is not None
    failure = store.failure("b")
    assert failure is not None
    assert (failure["name"], failure["error"], failure["kind"]) == (
        "b",
        "the loss is nan",
        "ValueError",
    )
    assert "raise ValueError" in failure["traceback"]
    assert (told[-1].slides_done, told[-1].slides_failed) == (3, 1)
    run_cells(CELLS, store, _result, ignore)
    assert store.failure("b") is None


def test_ctrl_c_stops_and_keeps_what_is_finished(store: CellStore) -> None:
    def compute(cell: Step, tell: Tell) -> Result:
        if cell.name == "b":
            raise KeyboardInterrupt
        return _result(cell, tell)

    with pytest.raises(KeyboardInterrupt):
        run_cells(CELLS, store, compute, ignore)
    assert store.read("a") is not None
    assert store.read("b") is None
    assert store.failure("b") is None


def test_progress_counts_work_and_not_cells(store: CellStore) -> None:
    told: list[Update] = []
    run_cells(CELLS, store, _result, told.append)
    shares = [update.share for update in told]
    # cells of 1, 3 and 1: begun, half, done
    assert shares == pytest.approx([0, 0.1, 0.2, 0.2, 0.5, 0.8, 0.8, 0.9, 1.0])
    assert [update.slides_done for update in told] == [0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_the_time_left_follows_the_share() -> None:
    rates = Rates()
    rates.add(Update(4, 0, elapsed_s=0.0, noun="cells", share=0.2))
    rates.add(Update(4, 0, elapsed_s=8.0, noun="cells", share=0.6))
    assert rates.left_s() == pytest.approx(8.0)
    assert describe(Update(4, 1, noun="cells", share=0.6), rates) == "1/4 cells, 8.0 s left"
