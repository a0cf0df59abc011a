"""How a network is run: number format, memory layout, compiled or not. Plain values, no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Precision = Literal["float32", "bf16"]
Wanted = Literal["auto", "float32", "bf16"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a network.

    Attributes:
        precision: float32, or bf16 autocast with results in float32.
        channels_last: memory layout of images and of convolutions' weights.
        compiled: by `torch.compile`.
    """

    precision: Precision = "float32"
    channels_last: bool = True
    compiled: bool = False

    def __str__(self) -> str:
        """Say it in a few words."""
        layout = "channels-last" if self.channels_last else "contiguous"
        return f"{self.precision} {layout}{' compiled' if self.compiled else ''}"

    def document(self, device: str) -> dict[str, Any]:
        """Give what is recorded beside embeddings."""
        return {"device": device} | asdict(self)

    @classmethod
    def recorded(cls, document: Mapping[str, Any]) -> "Setting | None":
        """Read what is recorded; None where nothing of use is."""
        try:
            precision = document["precision"]
            layout, compiled = document["channels_last"], document["compiled"]
        except KeyError:
            return None
        if precision not in ("float32", "bf16"):
            return None
        return cls(precision, bool(layout), bool(compiled))


REPRODUCIBLE = Setting()
"""What `--precision float32` means: fixed and not measured, so that two runs give equal bytes.

Channels-last is the faster layout of float32 for convolutions on CPUs and no loss elsewhere.
"""


@dataclass(frozen=True)
class Choice:
    """The setting of a run and how it was found.

    Attributes:
        setting: what all tasks use.
        why: one sentence.
        rates: patches/s of what was tried, by its words.
    """

    setting: Setting
    why: str
    rates: Mapping[str, float]
