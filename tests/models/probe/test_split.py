from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models.errors import LabelsError
from models.probe import Cases, choose_split, label_fraction, read_cases
from tests.models.probe.planted import Planted, cohort, plant
from tiling.subset import fraction


def _cases(slides: int = 40, per_slide: int = 5, slides_per_patient: int = 2) -> Cases:
    """Patients of several slides, no manifest split; the patient decides the class."""
    slide = np.repeat(np.arange(slides), per_slide)
    patient = slide // slides_per_patient
    return Cases(
        slide_ids=tuple(f"s{i}" for i in range(slides)),
        patients=tuple(f"p{i}" for i in range(slides // slides_per_patient)),
        splits=("",) * slides,
        names=("a", "b"),
        slide=slide,
        index=np.tile(np.arange(per_slide), slides),
        patient=patient,
        label=(patient % 4 == 0).astype(np.int64),
        unlabelled=0,
        unreadable=0,
    )


def test_the_manifests_split_is_taken_where_there_is_one(tmp_path: Path) -> None:
    slides = [*cohort(4, 2, "train"), *cohort(2, 2, "val", 10), *cohort(2, 3, "test", 20)]
    cases = read_cases(plant(tmp_path / "a.zarr", slides))
    split = choose_split(cases)
    assert split.how == "manifest"
    assert not split.leaky
    assert (cases.split[split.train] == "train").all()
    assert (len(split.train), len(split.test)) == (8, 6)
    assert (cases.split[choose_split(cases, test="val").test] == "val").all()


def test_without_a_manifests_split_whole_patients_are_drawn_of_every_class() -> None:
    cases = _cases()
    split = choose_split(cases, test_share=0.25, seed=3)
    assert split.how == "patient"
    assert not split.leaky
    assert sorted([*split.train, *split.test]) == list(range(len(cases)))
    assert not set(cases.patient[split.train]) & set(cases.patient[split.test])
    per_class = [
        len(np.unique(cases.patient[split.test][cases.label[split.test] == c])) for c in (0, 1)
    ]
    assert per_class == [4, 1]  # of 15 and 5: 15 - floor(.75 * 15 + .5), 5 - floor(.75 * 5 + .5)


def test_the_seed_alone_decides() -> None:
    cases = _cases()
    one, same, other = (choose_split(cases, seed=seed).test.tolist() for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_a_split_by_patch_is_made_on_request_only_and_called_leaky() -> None:
    cases = _cases()
    split = choose_split(cases, "patch", test_share=0.2)
    assert (split.how, split.leaky) == ("patch", True)
    assert split.shared_patients == len(
        np.intersect1d(cases.patient[split.train], cases.patient[split.test])
    )
    assert len(split.test) == 40


def test_a_patient_in_two_splits_of_the_manifest_is_leaky(tmp_path: Path) -> None:
    slides = [Planted("a", [0, 1], "p", "train"), Planted("b", [0, 1], "p", "test")]
    split = choose_split(read_cases(plant(tmp_path / "a.zarr", slides)))
    assert (split.leaky, split.shared_patients, split.shared_slides) == (True, 1, 0)


def test_fractions_are_nested_and_stratified_and_whole_slides() -> None:
    cases = _cases(200, 3, 1)
    train = choose_split(cases).train
    shares = [set(label_fraction(cases, train, share, seed=5)) for share in (0.05, 0.25, 0.5, 1)]
    assert all(small < large for small, large in pairwise(shares))
    assert shares[-1] == set(train)
    for rows, share in zip(shares, (0.05, 0.25, 0.5, 1), strict=True):
        chosen = np.array(sorted(rows))
        assert not set(cases.slide[chosen]) & set(cases.slide[np.setdiff1d(train, chosen)])
        for c in (0, 1):
            whole = len(np.unique(cases.slide[train][cases.label[train] == c]))
            part = len(np.unique(cases.slide[chosen][cases.label[chosen] == c]))
            assert part == int(share * whole + 0.5)


def test_fractions_are_those_of_the_archives_own_subsets() -> None:
    cases = _cases()
    train = choose_split(cases).train
    by_patient = label_fraction(cases, train, 0.5, unit="patient", seed=2)
    expected = fraction(cases.patient[train], 0.5, seed=2, labels=cases.label[train])
    assert by_patient.tolist() == train[expected].tolist()
    assert len(label_fraction(cases, train, 0.5, unit="patch", seed=2)) == len(train) / 2


def test_published_sizes_of_fractions() -> None:
    # METHODS 7.1: 9240 patches of three balanced classes; 5, 25, 50 % are 462, 2310, 4620
    label = np.repeat(np.arange(3), 3080)
    cases = Cases(("s",), ("p",), ("",), ("a", "b", "c"), 0 * label, label, 0 * label, label, 0, 0)
    rows = np.arange(9240)
    sizes = [len(label_fraction(cases, rows, f, unit="patch")) for f in (0.05, 0.25, 0.5, 1)]
    assert sizes == [462, 2310, 4620, 9240]


def test_an_empty_split_names_those_that_there_are(tmp_path: Path) -> None:
    cases = read_cases(plant(tmp_path / "a.zarr", cohort(4, 2, "train")))
    with pytest.raises(LabelsError, match="in the split 'test'; there are: train"):
        choose_split(cases)
    with pytest.raises(LabelsError, match="in the split 'train'; there are: none"):
        choose_split(_cases(), "manifest")


def test_one_class_to_learn_from_is_refused(tmp_path: Path) -> None:
    slides = [Planted("a", [0, 0], "p", "train"), Planted("b", [1, 1], "q", "test")]
    with pytest.raises(LabelsError, match="2 training patches are not of two classes"):
        choose_split(read_cases(plant(tmp_path / "a.zarr", slides)))


@pytest.mark.parametrize(
    ("share", "sentence"), [(1.0, "between 0 and 1"), (0.01, "no patches are left")]
)
def test_a_test_share_must_leave_both_sides(share: float, sentence: str) -> None:
    with pytest.raises(LabelsError, match=sentence):
        choose_split(_cases(8), "patient", test_share=share)
