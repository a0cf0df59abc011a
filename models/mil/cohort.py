"""Which bags there are: the slides of archives, grouped by slide or by patient, with labels.

Reads what archives say of their slides, no embeddings yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.bags.bag import Bag
from models.errors import BagError, LabelsError
from tiling.store import Archive

Unit = Literal["slide", "patient"]


@dataclass(frozen=True)
class SlideRow:
    """One slide and its embeddings.

    Attributes:
        bag: reads them; without the unreadable patches.
        archive: where it lies.
        patient: of the slide; the slide's own ID where nobody said.
        label: of the slide, empty where it has none.
    """

    bag: Bag
    archive: str
    patient: str
    label: str

    @property
    def slide_id(self) -> str:
        """The archive's ID."""
        return self.bag.slide_id


@dataclass(frozen=True)
class MilBag:
    """One bag: the patches of a slide, or of all slides of a patient one after the other.

    Attributes:
        name: ID of the slide or of the patient.
        label: class, -1 where it is not known.
        slides: whose patches it holds, in order.
    """

    name: str
    patient: str
    label: int
    slides: tuple[SlideRow, ...]

    def __len__(self) -> int:
        """Number of patches."""
        return sum(len(row.bag) for row in self.slides)


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels from elsewhere than the archive.

    Attributes:
        of_slide: by slide ID.
        of_patient: by patient, where labels are given that way.
        patient_of: patient by slide ID, which wins over the archive's.
    """

    of_slide: Mapping[str, str]
    of_patient: Mapping[str, str]
    patient_of: Mapping[str, str]


def read_slides(
    archives: Sequence[str], encoder_id: str, label: str = "label", labels: Labels | None = None
) -> list[SlideRow]:
    """Read what there is to learn from, slide by slide, in the order of archives and IDs.

    Args:
        archives: paths or URLs.
        encoder_id: whose embeddings.
        label: name of the label in the archives; not used where `labels` are given.
        labels: from a table.

    Raises:
        BagError: a slide lacks these embeddings, two slides have one ID, or the embeddings are of
            encoders that differ.
        StoreError: an archive cannot be read.
    """
    rows = [
        slide_row(Bag(archive[slide_id], encoder_id), location, label, labels)
        for location in archives
        for archive in [Archive.open(location)]
        for slide_id in archive.slide_ids()
    ]
    if not rows:
        raise BagError(f"no slides in {', '.join(archives)}")
    _require_distinct(rows)
    _require_one_encoder(rows)
    return rows


def slide_row(bag: Bag, location: str, label: str, labels: Labels | None) -> SlideRow:
    """Find a slide's patient and label; arguments as for `read_slides`."""
    if labels is None:
        known = bag.attributes.get("labels") or {}
        return SlideRow(bag, location, bag.patient, str(known.get(label) or ""))
    patient = labels.patient_of.get(bag.slide_id) or bag.patient
    found = labels.of_slide.get(bag.slide_id) or labels.of_patient.get(patient) or ""
    return SlideRow(bag, location, patient, found)


def _require_distinct(rows: Sequence[SlideRow]) -> None:
    seen: dict[str, SlideRow] = {}
    for row in rows:
        first = seen.setdefault(row.slide_id, row)
        if first is not row:
            raise BagError(
                f"slide {row.slide_id!r} is in {first.archive} and in {row.archive}; "
                "name each slide's archive once"
            )


def _require_one_encoder(rows: Sequence[SlideRow]) -> None:
    first = rows[0]
    for row in rows:
        if row.bag.card.identity != first.bag.card.identity:
            raise BagError(
                f"the embeddings {row.bag.encoder_id!r} of {row.slide_id} are of another encoder "
                f"than those of {first.slide_id} (other weights, layer or input); embed one again"
            )


def choose_unit(rows: Sequence[SlideRow]) -> Unit:
    """Take patients as bags where no patient has slides of two labels, else slides."""
    return "slide" if any(len(found) > 1 for found in _labels_of(rows).values()) else "patient"


def class_names(rows: Sequence[SlideRow]) -> tuple[str, ...]:
    """Give the labels that occur, numbers by value and other words by letter.

    Raises:
        LabelsError: there are fewer than two.
    """
    names = sorted({row.label for row in rows if row.label})
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise LabelsError(
            f"need slides of at least two labels, found {found}; "
            "name the right column with --label, or give a table with --labels"
        )
    return tuple(sorted(names, key=float) if all(map(_is_number, names)) else names)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def group(rows: Sequence[SlideRow], unit: Unit, classes: Sequence[str]) -> list[MilBag]:
    """Make bags, in the order of their names.

    Raises:
        LabelsError: a label is none of `classes`, or a patient has two where it is a bag.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    for row in rows:
        if row.label and row.label not in numbers:
            raise LabelsError(
                f"slide {row.slide_id} has label {row.label!r}, which is none of "
                f"{', '.join(classes)}"
            )
    groups: dict[str, list[SlideRow]] = {}
    for row in rows:
        groups.setdefault(row.slide_id if unit == "slide" else row.patient, []).append(row)
    labels = _labels_of(rows) if unit == "patient" else {}
    return [
        MilBag(name, found[0].patient, _only(labels.get(name), found, numbers), tuple(found))
        for name, found in sorted(groups.items())
    ]


def _labels_of(rows: Sequence[SlideRow]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.patient, set()).update({row.label} - {""})
    return found


def _only(found: set[str] | None, rows: Sequence[SlideRow], numbers: Mapping[str, int]) -> int:
    names = {row.label for row in rows} - {""} if found is None else found
    if len(names) > 1:
        raise LabelsError(
            f"patient {rows[0].patient} has slides of labels {', '.join(sorted(names))}; "
            "use --unit slide"
        )
    return numbers[names.pop()] if names else -1
