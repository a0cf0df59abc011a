"""The card of a distilled model: what it is, what its classes mean. No torch."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from models.encoders.card import EncoderCard
from models.losses.distl import Target


class DistilledCard(BaseModel):
    """A student with its teacher, wholly described; it travels with the weights of both."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    round: int
    """Rounds of distillation; 0 is the initial model."""
    encoder: EncoderCard
    """Of the student's encoder, which the teacher's is like."""
    local_px: int
    """Side of local views."""
    classes: tuple[str, ...]
    """Names, in the order of their numbers."""
    target: Target
    """What labels are: binary has one output, of the second class."""
    heads: dict[str, int]
    """Widths of the heads."""
    weights_sha256: str = ""
    """SHA-256 of the tensors; filled in when they are written."""
    parts: dict[str, Any] = {}
    """How many patches were labelled, and in each fold."""
    tested: str = ""
    """Hash of who was kept apart to test: patients, or slides without one. Says nothing of them."""

    @property
    def outputs(self) -> int:
        """Of the class head."""
        return 1 if self.target == "binary" else len(self.classes)
