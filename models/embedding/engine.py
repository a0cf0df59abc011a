"""What an encoder is asked for by, and how workers run it. Plain values, no torch."""

from dataclasses import dataclass
from typing import Literal

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder is asked for by; a worker opens it from this."""

    name: str
    weights: str | None = None
    layer: str = "last"
    stage_tap: Literal["pre_merge", "post_merge"] = "pre_merge"
    stage_norm: Literal["none", "layernorm"] = "none"
    input_px: int | None = None


@dataclass(frozen=True)
class Engine:
    """How a worker runs; the same in all tasks of a run.

    Attributes:
        spec: the encoder.
        device: where; auto takes a GPU if there is one.
        processes: workers on one machine, which share its cores.
        batch: patches at a time; None chooses.
        decoders: threads that read and decode; None chooses.
    """

    spec: EncoderSpec
    device: Device = "auto"
    processes: int = 1
    batch: int | None = None
    decoders: int | None = None
