"""From a name to what it stands for: the table, timm, a hub repository, or our own checkpoint."""

import difflib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import timm
from timm.models import load_model_config_from_hf

from models.encoders.card import EncoderCard
from models.encoders.checkpoint import read_card
from models.encoders.hub import told
from models.encoders.known import HUB, TIMM, Known
from models.encoders.table import TABLE, find_known
from models.encoders.weights import SUFFIXES
from models.errors import EncoderError

NATURAL = ("in1k", "in12k", "in21k", "in22k")
"""How timm's tags end for weights from ImageNet."""
HINTS = 3
"""Nearest names that an error shows."""


def look_up(name: str) -> Known:
    """Find what a name stands for.

    Args:
        name: of the table, of timm (with or without `timm:`), `hf-hub:OWNER/NAME`, or the path of
            one of our checkpoints.

    Raises:
        EncoderError: no such name; the message has the nearest ones.
        WeightsError: there is no such file, or the hub cannot be asked.
    """
    found = find_known(name)
    if found is not None:
        return found
    if name.startswith(HUB):
        return _from_hub(name)
    bare = name.removeprefix(TIMM)
    if timm.is_model(bare):
        return _from_timm(bare)
    if is_path(name):
        return from_checkpoint(name)
    every = [*(n for row in TABLE for n in row.names), *timm.list_models()]
    near = difflib.get_close_matches(bare, sorted(set(every)), n=HINTS, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "`microtome encoders` lists them"
    raise EncoderError(f"no encoder is called {name!r}; {hint}")


def is_path(name: str) -> bool:
    """Whether a name means a file or a folder."""
    return "/" in name or name.endswith(SUFFIXES) or Path(name).exists()


def from_checkpoint(path: str) -> Known:
    """Describe the encoder in one of our checkpoints.

    Raises:
        EncoderError: the file has no encoder card.
        WeightsError: there is no such file, or it is damaged.
    """
    card = read_card(path)
    if card is None:
        raise EncoderError(
            f"{path} says not which network it is of; name that, and give the file as its weights: "
            f"--encoder NAME --weights {path}"
        )
    return from_card(card, path)


def from_card(card: EncoderCard, path: str) -> Known:
    """Describe the encoder of a card whose weights are in a file."""
    return Known(
        name=card.name,
        architecture=card.architecture,
        dim=None,
        input_px=card.input_px,
        patch_px=card.patch_px,
        mpp=card.mpp,
        options=card.architecture_options,
        mean=card.mean,
        std=card.std,
        usual=card.usual,
        weights=path,
        method=card.method,
        data=card.data,
    )


def _from_timm(name: str) -> Known:
    try:
        found = timm.get_pretrained_cfg(name)
    except RuntimeError as err:
        raise EncoderError(f"timm has no weights called {name!r}: {err}") from err
    described = asdict(found) if found else {}
    tag = described.get("tag") or ""
    return _from_timm_config(
        described,
        name=name,
        architecture=TIMM + name.partition(".")[0],
        weights=TIMM + name,
        method="imagenet" if tag.endswith(NATURAL) else "pretrained",
        data=(tag,) if tag else (),
        licence=described.get("license") or "",
    )


def _from_hub(name: str) -> Known:
    with told(name, name):
        described, architecture, options = load_model_config_from_hf(name.removeprefix(HUB))
    kept = {key: value for key, value in (options or {}).items() if key != "num_classes"}
    return _from_timm_config(
        described,
        name=name,
        architecture=TIMM + architecture,
        weights=name,
        options=kept,
        method="pretrained",
    )


def _from_timm_config(described: dict[str, Any], **facts: Any) -> Known:
    """Describe an encoder by timm's own words on its input."""
    size = described.get("input_size") or (3, 224, 224)
    if size[0] != 3 or size[1] != size[2]:
        raise EncoderError(f"{facts['name']} takes images of {size}, patches are square and RGB")
    scale: dict[str, Any] = {
        key: tuple(described[key]) for key in ("mean", "std") if described.get(key)
    }
    return Known(dim=None, input_px=size[-1], **scale, **facts)
