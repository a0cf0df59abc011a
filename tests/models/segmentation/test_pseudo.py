"""Pseudo masks against a loop, and their corner cases."""

import logging

import numpy as np
import pytest
import torch
from skimage.measure import label as label_pieces
from torch import Tensor

from models.segmentation.pseudo import predicted_masks, pseudo_masks, white_pixels

SIZE = (12, 10)


def _cams(seed: int = 0, count: int = 4) -> Tensor:
    return torch.randn(count, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


def _bilinear(small: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize one map with centres of pixels at halves, edges repeated."""
    out = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            v = min(max((y + 0.5) * small.shape[0] / size[0] - 0.5, 0), small.shape[0] - 1)
            u = min(max((x + 0.5) * small.shape[1] / size[1] - 0.5, 0), small.shape[1] - 1)
            top, left = int(v), int(u)
            low, right = min(top + 1, small.shape[0] - 1), min(left + 1, small.shape[1] - 1)
            dv, du = v - top, u - left
            upper = small[top, left] * (1 - du) + small[top, right] * du
            lower = small[low, left] * (1 - du) + small[low, right] * du
            out[y, x] = upper * (1 - dv) + lower * dv
    return out


def test_masks_are_those_of_the_loop() -> None:
    cams, labels = _cams(), torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 0], [1, 1, 1]])
    white = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(1)) > 0.8
    found = pseudo_masks(cams, labels, SIZE, white=white)
    for b in range(4):
        large = np.stack([_bilinear(one.numpy(), SIZE) for one in cams[b]])
        scaled = (large - large.min()) / (large.max() - large.min())
        for y in range(SIZE[0]):
            for x in range(SIZE[1]):
                present = [k for k in range(3) if labels[b, k] == 1]
                best = max(present, key=lambda k: (scaled[k, y, x], -k))
                expected = 3 if white[b, y, x] else best
                assert found.masks[b, y, x] == expected
    assert found.masks.dtype == torch.uint8
    assert not found.empty.any()


def test_absent_classes_never_appear_even_where_they_tie_with_the_least_score() -> None:
    cams = torch.zeros(1, 3, 2, 2)
    cams[0, 0] = 9.0  # absent, and by far the strongest
    cams[0, 2] = torch.tensor([[1.0, 0.0], [0.0, 2.0]])  # present, and the least of all in places
    found = pseudo_masks(cams, torch.tensor([[0, 0, 1]]), (2, 2))
    assert (found.masks == 2).all()
    literal = torch.where(torch.tensor([0, 0, 1])[:, None, None] == 1, cams[0] / 9, 0.0)
    assert literal.argmax(dim=0)[0, 1] == 0  # what a score of 0 instead of -1 would give


@pytest.mark.parametrize("seed", range(3))
def test_only_classes_of_the_label_appear(seed: int) -> None:
    labels = (torch.rand(20, 3, generator=torch.Generator().manual_seed(seed)) > 0.5).int()
    labels[:, 1] = torch.where(labels.sum(dim=1) == 0, 1, labels[:, 1])
    labels[3] = torch.tensor([1, -1, -1])
    found = pseudo_masks(_cams(seed, 20), labels, SIZE)
    for mask, label in zip(found.masks, labels, strict=True):
        assert set(mask.unique().tolist()) <= set((label == 1).nonzero().flatten().tolist())


def test_all_classes_are_scaled_together() -> None:
    """Were each scaled alone, class 1 would win where it is at its own best."""
    cams = torch.tensor([[[[5.0, 4.0]], [[0.0, 1.0]]]])
    found = pseudo_masks(cams, torch.tensor([[1, 1]]), (1, 2))
    assert found.masks.tolist() == [[[0, 0]]]


def test_white_wins_against_the_best_score_of_any_class() -> None:
    cams = torch.tensor([[[[1.0, 0.0]]]])
    white = torch.tensor([[[True, False]]])
    assert pseudo_masks(cams, torch.tensor([[1]]), (1, 2), white=white).masks.tolist() == [[[1, 0]]]
    assert pseudo_masks(cams, torch.tensor([[1]]), (1, 2)).masks.tolist() == [[[0, 0]]]


def test_patches_without_a_class_or_with_a_constant_map_are_background_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cams = _cams(count=3)
    cams[1] = 0.5
    labels = torch.tensor([[0, 0, -1], [1, 0, 0], [1, 0, 0]])
    with caplog.at_level(logging.WARNING):
        found = pseudo_masks(cams, labels, SIZE)
    assert (found.masks[:2] == 3).all()
    assert (found.masks[2] == 0).all()
    assert found.empty.tolist() == [True, True, False]
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 3 patches hold no class; their masks are background",
        "1 of 3 patches have the same score everywhere; their masks are background",
    ]


def test_maps_that_are_no_numbers_are_background() -> None:
    cams = _cams(count=1)
    cams[0, 1, 2, 2] = torch.nan
    assert (pseudo_masks(cams, torch.tensor([[1, 1, 1]]), SIZE).masks == 3).all()


def test_background_is_grey_above_200_in_pieces_of_50_pixels() -> None:
    pixels = np.full((40, 40, 3), 200, np.uint8)
    pixels[:5, :10] = 201  # 50 pixels
    pixels[20:27, :7] = 255  # 49 pixels
    pixels[30:35, 30:35] = 255  # 25 that touch 25 at a corner alone
    pixels[35:40, 35:40] = 255
    pixels[10:18, 20:30] = (255, 255, 60)  # grey 233
    pixels[0:8, 20:30] = (60, 60, 255)  # grey 82
    found = white_pixels(pixels)
    expected = np.zeros((40, 40), bool)
    expected[:5, :10] = expected[10:18, 20:30] = True
    assert np.array_equal(found, expected)


def test_background_of_many_patches_is_that_of_another_library() -> None:
    pixels = np.random.default_rng(0).integers(150, 256, (3, 48, 48, 3), dtype=np.uint8)
    pixels[:, :30, :30] = np.random.default_rng(1).integers(196, 208, (3, 30, 30, 1))
    found = white_pixels(pixels)
    assert found.any()
    for patch, mask in zip(pixels, found, strict=True):
        grey = 0.299 * patch[..., 0] + 0.587 * patch[..., 1] + 0.114 * patch[..., 2]
        pieces = label_pieces(grey > 200, connectivity=1)
        sizes = np.bincount(pieces.ravel())
        assert np.array_equal(mask, (pieces > 0) & (sizes[pieces] >= 50))


def test_maps_alone_say_likely_classes_where_they_are_strongest() -> None:
    cams = torch.tensor([[[[3.0, -9.0, -1.0]], [[2.0, 1.0, -2.0]], [[8.0, 8.0, 8.0]]]])
    found = predicted_masks(cams, torch.tensor([[0.26, 0.9, 0.25]]), (1, 3))
    assert found.tolist() == [[[0, 1, 0]]]  # in the last place both are 0, and the first is taken
    none = predicted_masks(cams, torch.tensor([[0.1, 0.2, 0.05]]), (1, 3))
    assert none.tolist() == [[[1, 1, 1]]]
