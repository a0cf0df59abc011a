"""The card of a tissue classifier or segmenter: what it is, what its classes mean."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from models.encoders.card import MPP_TOLERANCE
from models.errors import MismatchError
from tiling.importing.names import BCSS_CLASSES, LUAD_CLASSES

Colour = tuple[int, int, int]
Role = Literal["classifier", "segmenter"]

LUAD_COLOURS: tuple[Colour, ...] = ((205, 51, 51), (0, 255, 0), (65, 105, 225), (255, 165, 0))
BCSS_COLOURS: tuple[Colour, ...] = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (153, 0, 255))
OTHER_COLOURS: tuple[Colour, ...] = (
    *LUAD_COLOURS,
    (153, 0, 255),
    (0, 170, 170),
    (255, 105, 180),
    (139, 90, 43),
    (128, 128, 0),
    (112, 128, 144),
    (0, 0, 128),
    (240, 230, 80),
)
"""Of other classes, in turn; after the last comes the first again, somewhat darker."""
DARKER = 0.6


class TissueCard(BaseModel):
    """A trained network of METHODS 10, wholly described; it travels with the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Name that a person gave it."""
    role: Role
    """Classifier (stage 1) or segmenter (stage 2)."""
    architecture: str
    """Of a classifier `resnet38` or `timm:NAME`; of a segmenter as segmentation-models-pytorch has
    it, such as deeplabv3plus."""
    encoder: str = ""
    """Of a segmenter, in the words of the same library."""
    options: dict[str, Any] = {}
    """What the network was built with beyond our usual options."""
    classes: tuple[str, ...]
    """Names, in the order of their numbers; the number after the last is background."""
    colours: tuple[Colour, ...] = ()
    """Red, green, blue of each class, 0 to 255; a palette of ours where none are given."""
    white: bool = True
    """Whether white was background when masks were made (LUAD), or tissue like other (BCSS)."""
    patch_px: int
    """Side of the patches that it learned from; a segmenter takes windows of it."""
    mpp: float | None = None
    """Microns per pixel that it was trained at; None where nobody said."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Mean per channel that is subtracted, of values in 0 to 1."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Standard deviation per channel that is divided by."""
    weights_sha256: str = ""
    """SHA-256 of the tensors; filled in when they are written."""
    data: tuple[str, ...] = ()
    """What the weights have seen, oldest first."""
    versions: dict[str, str] = {}
    """Versions of the libraries that built it."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes need different names, got {self.classes}")
        if self.colours and len(self.colours) != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes need a colour each, got {self.colours}")
        return self

    @property
    def palette(self) -> tuple[Colour, ...]:
        """Colour of each class."""
        return self.colours or usual_colours(self.classes)

    def require_classes(self, names: tuple[str, ...], what: str) -> None:
        """Refuse data, or another network, that has other classes or another order of them.

        Raises:
            MismatchError: names differ.
        """
        if names != self.classes:
            raise MismatchError(
                f"{self.name} knows {', '.join(self.classes)}; {what} has {', '.join(names)}, and "
                "names and order must be the same"
            )

    def require_mpp(
        self, mpp: float | None, *, force: bool = False, what: str = "the patches have"
    ) -> list[str]:
        """Refuse another resolution than the card's, unless forced; an unknown one is let through.

        Returns:
            What was forced, to be recorded.

        Raises:
            MismatchError: microns per pixel differ by more than 3 %.
        """
        if not mpp or not self.mpp or abs(mpp / self.mpp - 1) <= MPP_TOLERANCE:
            return []
        told = f"{what} {mpp:.4g} um/px, {self.name} wants {self.mpp:.4g}"
        if not force:
            raise MismatchError(f"{told}; cut at that resolution, or use --force")
        return [told]


def usual_colours(classes: tuple[str, ...]) -> tuple[Colour, ...]:
    """Give the published colours of LUAD-HistoSeg and BCSS (METHODS 10.1), or ours for others."""
    if classes == LUAD_CLASSES:
        return LUAD_COLOURS
    if classes == BCSS_CLASSES:
        return BCSS_COLOURS
    return tuple(_colour(number) for number in range(len(classes)))


def _colour(number: int) -> Colour:
    rounds, place = divmod(number, len(OTHER_COLOURS))
    red, green, blue = (round(value * DARKER**rounds) for value in OTHER_COLOURS[place])
    return red, green, blue
