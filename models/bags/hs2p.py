"""The sidecar of hs2p's coordinates: one table of its keys. Follows hs2p 6.1 (as 4.4 before it).

Its loader takes exactly these keys in exactly these six sections, and refuses one more or less.
"""

from collections.abc import Mapping
from typing import Any

from models.bags.bag import Bag

TOLERANCE = 0.03
"""Relative difference up to which a level of the slide is read as it is; as of `tile`."""
SPACE, ORDER = "level0_px", "x_then_y"

KEYS: Mapping[str, tuple[str, ...]] = {
    "provenance": (
        "sample_id",
        "image_path",
        "mask_path",
        "backend",
        "requested_backend",
        "spacing_at_level_0",
        "mask_backend",
        "requested_mask_backend",
    ),
    "slide": ("dimensions", "base_spacing_um", "level_downsamples"),
    "tiling": (
        "requested_tile_size_px",
        "requested_spacing_um",
        "read_level",
        "read_tile_size_px",
        "read_spacing_um",
        "tile_size_lv0",
        "tolerance",
        "step_px_lv0",
        "overlap",
        "min_tissue_fraction",
        "is_within_tolerance",
        "n_tiles",
    ),
    "segmentation": (
        "tissue_method",
        "requested_seg_downsample",
        "seg_downsample",
        "seg_level",
        "seg_spacing_um",
        "sthresh",
        "sthresh_up",
        "mthresh",
        "close",
        "sam2_checkpoint_path",
        "sam2_config_path",
        "mask_path",
        "ref_tile_size_px",
        "tissue_mask_tissue_value",
        "mask_level",
        "mask_spacing_um",
    ),
    "filtering": (
        "a_t",
        "a_h",
        "filter_white",
        "filter_black",
        "white_threshold",
        "black_threshold",
        "fraction_threshold",
        "filter_grayspace",
        "grayspace_saturation_threshold",
        "grayspace_fraction_threshold",
        "filter_blur",
        "blur_threshold",
        "qc_spacing_um",
    ),
    "artifact": (
        "coordinate_space",
        "tile_order",
        "annotation",
        "selection_strategy",
        "output_mode",
    ),
}
"""Section -> keys. What is not said below is null: it did not happen here."""

NO_FILTER = {
    "a_t": 0,
    "a_h": 0,
    "filter_white": False,
    "filter_black": False,
    "white_threshold": 0,
    "black_threshold": 0,
    "fraction_threshold": 0.0,
    "filter_grayspace": False,
    "grayspace_saturation_threshold": 0.0,
    "grayspace_fraction_threshold": 0.0,
    "filter_blur": False,
    "blur_threshold": 0.0,
    "qc_spacing_um": 0.0,
}
"""Its filters of single tiles, none of which ran here."""


def tiling_document(bag: Bag, count: int) -> dict[str, dict[str, Any]]:
    """Give the sidecar of a bag, of which `count` rows are written."""
    known = {
        "provenance": _provenance(bag),
        "slide": _slide(bag),
        "tiling": tiling(bag) | {"n_tiles": count},
        "segmentation": _segmentation(bag),
        "filtering": NO_FILTER,
        "artifact": {"coordinate_space": SPACE, "tile_order": ORDER},
    }
    return {
        section: {key: known[section].get(key) for key in keys} for section, keys in KEYS.items()
    }


def source_path(bag: Bag) -> str:
    """Where the slide was when it was cut; slides are known by nothing else there."""
    return str((bag.attributes.get("source") or {}).get("uri") or bag.name)


def backend(bag: Bag) -> str:
    """Name the reader that cut the slide."""
    return str(bag.attributes.get("reader") or "unknown")


def _spacing(bag: Bag) -> tuple[float, float]:
    mpp0, effective = bag.require_mpp("slide2vec")
    return sum(mpp0) / 2, sum(effective) / 2


def _provenance(bag: Bag) -> dict[str, Any]:
    return {
        "sample_id": bag.name,
        "image_path": source_path(bag),
        "backend": backend(bag),
        "requested_backend": backend(bag),
        "spacing_at_level_0": _spacing(bag)[0],
    }


def _slide(bag: Bag) -> dict[str, Any]:
    return {
        "dimensions": list(bag.level0_size or (0, 0)),
        "base_spacing_um": _spacing(bag)[0],
        "level_downsamples": [float(level["downsample"]) for level in bag.levels],
    }


def tiling(bag: Bag) -> dict[str, Any]:
    """Say how patches were read; sides in pixels are rounded, as they are integers there."""
    spacing0, effective = _spacing(bag)
    level = int(bag.attributes.get("level") or 0)
    reduction = bag.attributes.get("reduction") or [1.0, 1.0]
    requested = float(bag.attributes.get("mpp_requested") or effective)
    down = float(bag.levels[level]["downsample"]) if bag.levels else 1.0
    read_spacing = spacing0 * down
    return {
        "requested_tile_size_px": bag.patch_px,
        "requested_spacing_um": requested,
        "read_level": level,
        "read_tile_size_px": round(bag.patch_px * sum(reduction) / 2),
        "read_spacing_um": read_spacing,
        "tile_size_lv0": round(bag.level0_side),
        "tolerance": TOLERANCE,
        "step_px_lv0": round(sum(bag.level0_stride) / 2),
        "overlap": max(0.0, 1 - bag.stride_px / bag.patch_px),
        "min_tissue_fraction": float(bag.attributes.get("min_tissue") or 0.0),
        "is_within_tolerance": abs(read_spacing / requested - 1) <= TOLERANCE,
    }


def _segmentation(bag: Bag) -> dict[str, Any]:
    """Say on which reduction tissue was looked for: that of the thumbnail."""
    columns = int(bag.store.document("tissue_mask")["shape"][1])
    width = (bag.level0_size or (columns, 0))[0]
    reduction = max(1, round(width / max(1, columns)))
    return {
        "tissue_method": str((bag.attributes.get("tissue") or {}).get("method") or "unknown"),
        "requested_seg_downsample": reduction,
        "seg_downsample": reduction,
        "seg_level": 0,
        "seg_spacing_um": _spacing(bag)[0] * reduction,
        "ref_tile_size_px": bag.patch_px,
    }
