"""What is shipped for others' tests."""

import subprocess
import sys

from wsi import testing


def test_the_public_names_are_exact() -> None:
    assert testing.__all__ == [
        "ReaderTests",
        "SvsSpec",
        "fail_reads",
        "grid_pattern",
        "region",
        "slow_area_mean",
        "write_pyramid",
        "write_svs",
    ]
    assert all(hasattr(testing, name) for name in testing.__all__)


def test_it_is_imported_without_pytest() -> None:
    code = "import sys, wsi.testing; print('pytest' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
