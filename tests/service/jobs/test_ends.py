"""What the end of a workflow means for its job: who is at fault, and whether to try again."""

import errno

import pytest

from models.errors import EncoderError, ModelError
from service.jobs.ends import end_of_error, end_of_outcome
from tiling.errors import ConflictError, LeaseError, ManifestError, StoreError
from workflows.errors import MissingExtraError, TrainingError, UsageError, WorkflowError
from workflows.outcome import Outcome
from wsi.errors import UnreadableSlideError

SLIDES = {"slides": {"done": 2, "skipped": 1, "failed": 1}}

OUTCOMES = {
    0: ("succeeded", None),
    2: ("failed", "it would be refused: the outcome says why"),
    3: ("failed", "1 of 4 slides failed; the outcome says which, and why"),
    130: ("cancelled", None),
}


@pytest.mark.parametrize("code", OUTCOMES)
def test_an_outcome_is_kept_whatever_its_code(code: int) -> None:
    end = end_of_outcome(Outcome(SLIDES, code))
    assert (end.state, end.error) == OUTCOMES[code]
    assert (end.exit_code, end.document) == (code, SLIDES)


def test_checks_that_fail_are_no_slides() -> None:
    end = end_of_outcome(Outcome({"slides": [{"state": "damaged"}]}, 3))
    assert end.error == "some of it failed; the outcome says what, and why"


def test_slides_that_failed_of_a_full_disk_are_cut_again() -> None:
    slide = {"state": "failed", "error": "a.zarr: [Errno 28] No space left on device"}
    document = SLIDES | {"outcomes": [slide]}
    end = end_of_outcome(Outcome(document, 3))
    assert (end.state, end.document, end.exit_code) == ("lost", document, 3)
    named = {"state": "failed", "slide_id": "No space left on device", "error": "damaged"}
    assert end_of_outcome(Outcome(SLIDES | {"outcomes": [named]}, 3)).state == "failed"


PASSES = {
    "full disk": OSError(errno.ENOSPC, "No space left on device"),
    "network": ConnectionResetError("gone"),
    "time": TimeoutError("too late"),
    "storage": StoreError("a.zarr: No space left on device"),
    "lease": LeaseError("taken over"),
    "process": WorkflowError("a worker process died"),
    "workers": ModelError("workers died while they opened the encoder"),
    "training": TrainingError("4 workers were lost while they trained"),
    "memory": MemoryError(),
    "scheduler": UsageError("--scheduler: no Dask scheduler answers at tcp://x"),
    "no workers": UsageError("--scheduler: tcp://x has no workers"),
}


@pytest.mark.parametrize("err", PASSES.values(), ids=PASSES.keys())
def test_what_passes_is_tried_again(err: BaseException) -> None:
    assert end_of_error(err).state == "lost"


STAYS = {
    "usage": UsageError("--mpp: must be positive"),
    "conflict": ConflictError("the archive holds another version"),
    "manifest": ManifestError("line 3"),
    "encoder": EncoderError("no encoder is called x"),
    "extra": MissingExtraError("install microtome[models]"),
    "slide": UnreadableSlideError("damaged"),
    "missing": FileNotFoundError(errno.ENOENT, "No such file"),
    "permission": PermissionError(errno.EACCES, "Permission denied"),
}


@pytest.mark.parametrize("err", STAYS.values(), ids=STAYS.keys())
def test_what_a_person_must_mend_fails_at_once(err: BaseException) -> None:
    end = end_of_error(err)
    assert (end.state, end.exit_code, end.error) == ("failed", 2, str(err))


def test_what_nobody_expected_fails_with_its_kind() -> None:
    end = end_of_error(ZeroDivisionError("division by zero"))
    assert (end.state, end.exit_code) == ("failed", 1)
    assert end.error == "unexpected: ZeroDivisionError: division by zero"
