"""The report in a real browser: its pictures show under its own content policy."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1000,1400",
]


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None and "chromium" in os.environ.get("MICROTOME_REQUIRE", ""):
        pytest.fail("chromium is required here, and is not installed")
    if found is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    return found


def test_thumbnail_grid_and_patches_are_seen(chromium: str, tiled: Path, tmp_path: Path) -> None:
    page = tiled.with_name(f"{tiled.name}.report.html")
    shot = tmp_path / "page.png"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [chromium, *FLAGS, profile, f"--screenshot={shot}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    seen = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    red, green, blue = seen[..., 0], seen[..., 1], seen[..., 2]
    eosin = (red > 150) & (red - green > 40) & (blue - green > 10)
    outline = (abs(red) < 40) & (abs(green - 158) < 40) & (abs(blue - 115) < 40)
    assert eosin.sum() > 5_000, "no tissue is seen: thumbnail and patches did not load"
    assert outline.sum() > 100, "the tissue's outline is not seen"
