"""Patches of three tissues that colour and grain tell apart, with labels, masks and splits."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from workflows import cli

PX = 32
NAMES = ("red", "green", "blue")
COLOURS = np.array([(190, 60, 60), (60, 170, 70), (70, 80, 190)])
WHITE = len(NAMES)
COUNTS = {"train": 24, "val": 9, "test": 9}
TINY = ("--optimizer", "adam", "--batch", 8, "--weight-decay", 0.0, "--log-steps", 1)
CLASSIFY = ("--backbone", "test_resnet", "--init", "random", "--lr", 0.003, *TINY)
SEGMENT = ("--architecture", "unet", "--encoder", "tu-test_resnet", *TINY)
RATE = ("--lr", 0.0005)
"""Of the encoder; all else of a segmenter learns ten times faster."""


def patch(number: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and truth: one tissue, or two side by side, below a white stripe."""
    rng = np.random.default_rng([number, len(split)])
    left, right = number % 3, (number // 3) % 3
    truth = np.full((PX, PX), left, np.uint8)
    truth[:, PX // 2 :] = right
    truth[:8] = WHITE
    pixels = COLOURS[np.minimum(truth, WHITE - 1)] + rng.normal(0, 12, (PX, PX, 3))
    pixels[truth == WHITE] = 244
    return pixels.clip(0, 255).astype(np.uint8), truth


def write_set(folder: Path, *, masks_of: tuple[str, ...] = ("train", "val", "test")) -> Path:
    """Write images, masks of these splits and their table."""
    folder.mkdir(parents=True)
    rows = []
    for split, count in COUNTS.items():
        for number in range(count):
            pixels, truth = patch(number, split)
            name = f"{split}{number}"
            Image.fromarray(pixels).save(folder / f"{name}.png")
            held = set(np.unique(truth[truth < WHITE]).tolist())
            row = {"file": f"{name}.png", "mask": "", "slide_id": f"{split}-{number % 2}"}
            row |= {"patient": f"{split}-{number % 2}", "split": split, "mpp": 1.0}
            if split in masks_of:
                Image.fromarray(truth).save(folder / f"{name}-mask.png")
                row["mask"] = f"{name}-mask.png"
            rows.append(row | {one: int(k in held) for k, one in enumerate(NAMES)})
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder / "table.csv"


def import_set(table: Path, archive: Path, labels: str = "column:red,green,blue") -> Path:
    """Import it."""
    words = ["import", "patches", table, "--out", archive, "--labels", labels, "--quiet"]
    assert cli.run([str(word) for word in words]) == 0
    return archive
