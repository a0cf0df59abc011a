"""Memory of exports that write in blocks: it does not grow with the slide."""

import subprocess
import sys
from pathlib import Path

COUNT, DIM = 150_000, 512
FEATURE_BYTES = COUNT * DIM * 4


def test_a_large_slide_is_never_in_memory(tmp_path: Path) -> None:
    names = ["torchmil", "torchmil-h5", "parquet"]
    script = [sys.executable, "-m", "tests.models.bags.large", f"{tmp_path},{COUNT},{DIM}", *names]
    said = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    rises = dict(line.split() for line in said.splitlines())
    assert sorted(rises) == sorted(names)
    for name, rise in rises.items():
        assert int(rise) < FEATURE_BYTES / 2, name
    assert (tmp_path / "torchmil" / "features" / "large.npy").stat().st_size > FEATURE_BYTES
