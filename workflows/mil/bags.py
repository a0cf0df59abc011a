"""The bags of a cohort, and which of them cannot be used: nothing is dropped without a word."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import LabelsError
from models.mil.cohort import (
    Labels,
    MilBag,
    Unit,
    choose_unit,
    class_names,
    group,
    read_slides,
)


@dataclass(frozen=True)
class Bags:
    """The bags of a cohort.

    Attributes:
        unit: slide or patient.
        classes: names, in the order of class numbers.
        encoder: identity of the encoder's card.
        usable: with a label and patches.
        empty: without patches, labelled or not.
        unlabelled: with patches and without a label.
    """

    unit: Unit
    classes: tuple[str, ...]
    encoder: str
    usable: tuple[MilBag, ...]
    empty: tuple[MilBag, ...]
    unlabelled: tuple[MilBag, ...]

    def require_usable(self) -> None:
        """Refuse a cohort that nothing can be learned from or scored on.

        Raises:
            LabelsError: no bag has a label and a patch.
        """
        if not self.usable:
            raise LabelsError(
                f"no bag has both a label and a patch: {len(self.empty):,} are empty, "
                f"{len(self.unlabelled):,} have no label; see --label and --labels"
            )

    def document(self) -> dict[str, Any]:
        """Say what there is, as JSON values."""
        counts = Counter(self.classes[bag.label] for bag in self.usable if bag.label >= 0)
        return {
            "used": len(self.usable),
            "of_class": {name: counts[name] for name in self.classes},
            "patients": len({bag.patient for bag in self.usable}),
            "slides": sum(len(bag.slides) for bag in self.usable),
            "patches": sum(len(bag) for bag in self.usable),
            "empty": [bag.name for bag in self.empty],
            "unlabelled": [bag.name for bag in self.unlabelled],
        }


def read_bags(
    archives: Sequence[str],
    encoder: str,
    label: str,
    labels: Labels | None,
    *,
    unit: Unit | None = None,
    classes: Sequence[str] | None = None,
) -> Bags:
    """Read what bags there are.

    Args:
        archives: paths or URLs.
        encoder: whose embeddings.
        label: name of the label in the archives.
        labels: from a table, instead of the archives'.
        unit: what a bag is; None takes patients where each has one label only.
        classes: of a trained model; None takes what there is.

    Raises:
        BagError: a slide lacks the embeddings.
        LabelsError: there are fewer than two labels, or one that is no class.
        StoreError: an archive cannot be read.
    """
    rows = read_slides(archives, encoder, label, labels)
    names = class_names(rows) if classes is None else tuple(classes)
    chosen = unit or choose_unit(rows)
    bags = group(rows, chosen, names)
    return Bags(
        chosen,
        names,
        rows[0].bag.card.identity,
        usable=tuple(bag for bag in bags if len(bag) and bag.label >= 0),
        empty=tuple(bag for bag in bags if not len(bag)),
        unlabelled=tuple(bag for bag in bags if len(bag) and bag.label < 0),
    )
