"""`microtome doctor`: can this machine and this installation do the work?"""

from collections.abc import Callable, Iterable

from workflows.checks import Check
from workflows.checks.codecs import check_codecs
from workflows.checks.machine import check_machine
from workflows.checks.packages import check_extras, check_native, check_packages
from workflows.checks.place import check_place
from workflows.config import WorkflowConfig
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback, Update


class DoctorConfig(WorkflowConfig):
    """Check packages, native libraries, codecs, cores, memory, and the place for an archive.

    Exits with 3 where something that `tile` needs does not work.
    """

    out: str = "."
    """Folder or URL where an archive will lie; its room, inodes and latency are measured."""


def run(config: DoctorConfig, progress: ProgressCallback) -> Outcome:
    """Make every check; one that fails does not stop the others."""
    parts: list[Callable[[], Iterable[Check]]] = [
        check_packages,
        check_native,
        check_codecs,
        check_machine,
        lambda: check_place(config.out),
        check_extras,
    ]
    checks: list[Check] = []
    for done, part in enumerate(parts, 1):
        checks += part()
        progress(Update(len(parts), done))
    failed = any(check.state == "fail" for check in checks)
    document = {"checks": [check.document() for check in checks], "good": not failed}
    return Outcome(document, SOME_FAILED if failed else ALL_GOOD)
