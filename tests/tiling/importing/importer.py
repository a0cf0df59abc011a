"""A whole import as a process of its own, which may die at a chosen object.

python importer.py <JSON>: `source`, `archive`, and optionally `die_at` (of `dying`).
"""

import json
import sys
from typing import Any


def main(request: dict[str, Any]) -> int:
    """Import what the request asks for."""
    from tests.tiling.faults.coordinator import die
    from tiling.importing.labelling import Mode
    from tiling.importing.patches import patch_jobs
    from tiling.importing.planning import PatchOptions
    from tiling.importing.rows import find_patches
    from tiling.importing.run import run_import
    from tiling.importing.sets import group_slides
    from tiling.store import Archive

    if request.get("die_at"):
        die(request["die_at"])
    slides = group_slides(find_patches(request["source"]), "auto", Mode("auto"))
    jobs = list(patch_jobs(slides, PatchOptions(), request["source"]))
    summary = run_import(jobs, Archive.create(request["archive"]), workers=2)
    return 3 if any(outcome.state == "failed" for outcome in summary.outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
