"""Put tensors of a file into a network: find their prefix, convert old layouts, refuse the rest."""

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import WeightsError

HEADS = (
    "head",
    "head_dist",
    "fc",
    "classifier",
    "projector",
    "predictor",
    "projection_head",
    "mask_token",
)
"""First parts of names that belong to classifiers and training heads, which embed nothing."""
DECODER = "decoder"
PREFERRED = ("teacher", "base_encoder", "encoder_q", "query")
"""Of several copies in a file, that which its authors evaluate (DINO; MoCo v3 and its kin)."""
RESIZED = ("pos_embed", "relative_position_bias_table")
"""Positions may be interpolated to another input size; nothing else may change its shape."""
COUNTER = "num_batches_tracked"
SHOWN = 3
"""Names that an error shows of each kind."""


def land(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> str:
    """Load tensors into a network, all of them or none.

    Prefixes that training scripts add are found by themselves; classifiers and training heads
    are left out; layouts that timm knows to be older are converted by timm.

    Args:
        network: without a classifier; may be an empty one.
        tensors: by name.
        source: where they are from, for messages.

    Returns:
        The prefix under which they were.

    Raises:
        WeightsError: they are another network's, or not finite.
    """
    wanted = network.state_dict()
    prefix = _find_prefix(tensors, wanted)
    own = {key[len(prefix) :]: found for key, found in tensors.items() if key.startswith(prefix)}
    found = _converted(network, own)
    found = {key: tensor for key, tensor in found.items() if key in wanted or not _is_head(key)}
    for key in wanted.keys() - found.keys():
        if key.endswith(COUNTER):  # older than torch 0.4.1, and of no effect here
            found[key] = torch.zeros_like(wanted[key], device="cpu")
    _require_fit(type(network).__name__, found, wanted, source)
    _require_finite(found, source)
    is_empty = any(tensor.is_meta for tensor in wanted.values())
    if is_empty:
        # own memory: where a file's reader lays tensors changes the last bits of results
        found = {key: tensor.to(wanted[key].dtype, copy=True) for key, tensor in found.items()}
    network.load_state_dict(found, assign=is_empty)
    return prefix


def _find_prefix(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Find what stands before the network's own names in most of the file's names."""
    counts: Counter[str] = Counter()
    for key in tensors:
        parts = key.split(".")
        for start in range(len(parts)):
            rest = ".".join(parts[start:])
            if rest in wanted:
                counts[key[: len(key) - len(rest)]] += 1
    if not counts:
        return ""
    most = max(counts.values())
    equal = [prefix for prefix, count in counts.items() if count == most]
    preferred = (p for name in PREFERRED for p in equal if name in p.split("."))
    return next(preferred, equal[0])


def _converted(network: nn.Module, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Let timm rewrite layouts older than its present one, where it has a filter for them."""
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return own
    try:
        found: dict[str, Tensor] = convert(dict(own), network)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return own  # of another network, which is told below with names and shapes
    unchanged = {id(tensor) for tensor in own.values()}  # under its own or another name
    return {
        key: own[key] if id(tensor) not in unchanged and _is_resized(key, tensor, own) else tensor
        for key, tensor in found.items()
    }


def _is_resized(key: str, tensor: Tensor, own: Mapping[str, Tensor]) -> bool:
    """Whether more than a position was interpolated: weights of another patch size, say."""
    return key in own and own[key].numel() != tensor.numel() and not key.endswith(RESIZED)


def _is_head(key: str) -> bool:
    first = key.partition(".")[0]
    return first in HEADS or first.startswith(DECODER)


def _require_fit(
    network: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str
) -> None:
    problems = [
        _some("missing", [key for key in wanted if key not in found]),
        _some("not of this network", [key for key in found if key not in wanted]),
        _some("of another shape", [_shapes(key, found, wanted) for key in wanted]),
    ]
    told = "; ".join(problem for problem in problems if problem)
    if told:
        raise WeightsError(f"{source} does not hold the weights of this {network}: {told}")


def _shapes(key: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    if key not in found or found[key].shape == wanted[key].shape:
        return ""
    return f"{key} {tuple(found[key].shape)} instead of {tuple(wanted[key].shape)}"


def _some(kind: str, names: list[str]) -> str:
    told = [name for name in names if name]
    if not told:
        return ""
    more = f" and {len(told) - SHOWN:,} more" if len(told) > SHOWN else ""
    return f"{kind}: {', '.join(told[:SHOWN])}{more}"


def _require_finite(found: Mapping[str, Tensor], source: str) -> None:
    bad = [key for key, tensor in found.items() if not _is_finite(tensor)]
    if bad:
        raise WeightsError(
            f"{source} holds NaN or infinity in {', '.join(bad[:SHOWN])}; "
            "its training broke down, use an earlier checkpoint"
        )


def _is_finite(tensor: Any) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())
