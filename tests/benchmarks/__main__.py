"""`python -m tests.benchmarks [part …]`: measure, print the table, keep it in .bench/table.md."""

import os
import platform
import sys
from pathlib import Path

from tests.benchmarks import (
    augmenting,
    cutting,
    dataset,
    distilling,
    embedding,
    exporting,
    federating,
    mapping,
    pretraining,
    serving_embeddings,
    serving_jobs,
    serving_tiles,
    slides,
    using,
)
from tests.benchmarks.clock import Row, as_markdown

PARTS = {
    "cutting": cutting.measure,
    "reading": using.reading,
    "memory": using.memory,
    "commands": using.commands,
    "peers": cutting.peers,
    "dataset": dataset.dataset,
    "embedding": embedding.measure,
    "exporting": exporting.measure,
    "augmenting": augmenting.measure,
    "pretraining": pretraining.measure,
    "distilling": distilling.measure,
    "mapping": mapping.measure,
    "serving-tiles": serving_tiles.measure,
    "serving-embeddings": serving_embeddings.measure,
    "serving-jobs": serving_jobs.measure,
    "federating": federating.measure,
}


def hardware() -> str:
    """Name the processor, its cores and the memory."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "?")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{model}, {os.cpu_count()} cores, {pages:.0f} GiB, Python {platform.python_version()}"


def main() -> None:
    """Run the parts that are named, or all."""
    rows: list[Row] = []
    print(hardware(), flush=True)
    for name in sys.argv[1:] or PARTS:
        for row in PARTS[name]():
            print(as_markdown([row]).splitlines()[-1], flush=True)
            rows.append(row)
    slides.WORK.mkdir(exist_ok=True)
    table = f"{hardware()}\n\n{as_markdown(rows)}\n"
    (slides.WORK / "table.md").write_text(table)


if __name__ == "__main__":
    main()
