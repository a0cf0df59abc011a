"""Colours of masks, and where things are in the picture of all patches."""

import numpy as np

from workflows.reporting.segmenting_pictures import (
    CELL_PX,
    GAP_PX,
    LINE_PX,
    MOST_PX,
    Panel,
    draw_sheet,
    make_panel,
    paint,
)

COLOURS = ((200, 0, 0), (0, 100, 0))


def test_classes_have_their_colours_background_is_white_and_the_unknown_grey() -> None:
    found = paint(np.array([[0, 1, 2, 255]], np.uint8), COLOURS)
    assert found[0].tolist() == [[200, 0, 0], [0, 100, 0], [255] * 3, [200] * 3]


def test_large_patches_are_made_smaller_and_masks_keep_their_plain_colours() -> None:
    mask = np.random.default_rng(0).integers(0, 2, (500, 500), dtype=np.uint8)
    panel = make_panel("a", np.zeros((500, 500, 3), np.uint8), {"truth": mask}, COLOURS)
    assert list(panel.pictures) == ["image", "truth"]
    assert {one.shape for one in panel.pictures.values()} == {(MOST_PX, MOST_PX, 3)}
    colours = np.unique(panel.pictures["truth"].reshape(-1, 3), axis=0).tolist()
    assert sorted(colours) == sorted(map(list, COLOURS))


def test_every_patch_has_a_row_and_the_legend_is_below() -> None:
    def plain(value: int) -> np.ndarray:
        return np.full((8, 8, 3), value, np.uint8)

    drawn = [Panel("a", {"image": plain(10), "truth": plain(20)})]
    drawn.append(Panel("b", {"image": plain(30), "truth": plain(40)}))
    names = [(f"a class with a long name {number}", (0, 0, 250)) for number in range(3)]
    sheet = draw_sheet(drawn, names)
    pitch = CELL_PX + GAP_PX
    middles = [
        [
            int(sheet[LINE_PX + row * pitch + 90, GAP_PX + column * pitch + 90, 0])
            for column in (0, 1)
        ]
        for row in (0, 1)
    ]
    assert middles == [[10, 20], [30, 40]]
    below = sheet[LINE_PX + 2 * pitch :]
    marks = (below == (0, 0, 250)).all(axis=2)
    lines = np.flatnonzero(marks.any(axis=1))
    assert len(np.split(lines, np.flatnonzero(np.diff(lines) > 1) + 1)) == 3  # each in its line
    assert sheet.shape[1] == 2 * pitch + GAP_PX
