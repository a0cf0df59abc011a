"""Labels and partitions as arrays: what zarr-python reads, what we read, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from tiling.errors import CorruptStoreError, StoreError
from tiling.labels import (
    Labels,
    add_array,
    partition_array,
    partition_of,
    read_labels,
    read_partition,
)
from tiling.store import PatchStore

CLASSES = Labels(np.array([0, 2, -1], np.int32), ("a", "b", "c"), "classes")
SEVERAL = Labels(np.array([[1, 0], [0, 0], [-1, 1]], np.int8), ("a", "b"), "multilabel")


def slow_partition(count: int, classes: int) -> list[int]:
    """METHODS 9.1, word by word, counted from 0."""
    part = max(1, int(count / classes + 0.5))
    return [min(max(i // part, 0), classes - 1) for i in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 9, 10, 35, 155])
@pytest.mark.parametrize("classes", [1, 3, 4, 7])
def test_a_partition_follows_its_definition(count: int, classes: int) -> None:
    assert partition_of(count, classes).tolist() == slow_partition(count, classes)


def test_partitions_of_known_volumes() -> None:
    assert partition_of(1, 4).tolist() == [0]
    assert partition_of(4, 4).tolist() == [0, 1, 2, 3]
    assert partition_of(9, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]
    assert partition_of(10, 4).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_no_partition_has_no_parts() -> None:
    with pytest.raises(ValueError, match="at least 1 partition, got 0"):
        partition_of(5, 0)


def put(store: PatchStore, labels: Labels) -> None:
    count = len(store)
    rows = np.resize(labels.values, (count, *labels.values.shape[1:]))
    labels = Labels(rows, labels.names, labels.kind)
    add_array(store.storage, store.slide_id, "labels", labels.array())


@pytest.mark.parametrize(("labels", "dtype"), [(CLASSES, "int32"), (SEVERAL, "int8")])
def test_labels_are_what_zarr_python_reads(store: PatchStore, labels: Labels, dtype: str) -> None:
    put(store, labels)
    array = zarr.open_array(f"{store.storage.root}/{store.slide_id}/labels", mode="r")
    assert array.dtype == dtype
    assert array.attrs["microtome"] == {"names": list(labels.names), "kind": labels.kind}
    found = read_labels(store)
    assert found is not None
    np.testing.assert_array_equal(found.values, array[:])
    np.testing.assert_array_equal(found.values[:3], labels.values)
    assert (found.names, found.kind, len(found)) == (labels.names, labels.kind, len(store))


def test_partition_is_what_zarr_python_reads(store: PatchStore) -> None:
    values = partition_of(len(store), 4)
    add_array(store.storage, store.slide_id, "partition", partition_array(values))
    array = zarr.open_array(f"{store.storage.root}/{store.slide_id}/partition", mode="r")
    assert array.dtype == "int16"
    np.testing.assert_array_equal(array[:], values)
    np.testing.assert_array_equal(read_partition(store), values)


def test_a_slide_without_them_has_none(store: PatchStore) -> None:
    assert read_labels(store) is None
    assert read_partition(store) is None


def test_labels_are_replaced_as_a_whole(store: PatchStore) -> None:
    put(store, CLASSES)
    put(store, SEVERAL)
    found = read_labels(store)
    assert found is not None
    assert found.kind == "multilabel"


@pytest.mark.parametrize(
    ("values", "kind", "sentence"),
    [
        pytest.param([0, 3], "classes", "from -1 to 2, got 3", id="class"),
        pytest.param([0, -2], "classes", "from -1 to 2", id="negative"),
        pytest.param([[1, 0, 2]], "multilabel", "from -1 to 1, got 2", id="state"),
        pytest.param([[1, 0]], "multilabel", r"\(1, 2\) are not multilabel of 3", id="width"),
        pytest.param([[1, 0, 1]], "classes", r"\(1, 3\) are not classes of 3", id="kind"),
    ],
)
def test_labels_that_do_not_fit_their_names_are_refused(
    values: list[int], kind: str, sentence: str
) -> None:
    with pytest.raises(StoreError, match=sentence):
        Labels(np.array(values), ("a", "b", "c"), kind)  # type: ignore[arg-type]


def test_damage_is_said(store: PatchStore) -> None:
    folder = Path(store.storage.root, store.slide_id, "labels")
    add_array(store.storage, store.slide_id, "labels", CLASSES.array())
    with pytest.raises(CorruptStoreError, match=r"labels has 3 rows for \d+ patches"):
        read_labels(store)
    put(store, CLASSES)
    (folder / "c" / "0").write_bytes(b"torn")
    with pytest.raises(CorruptStoreError, match="labels cannot be read"):
        read_labels(store)
    (folder / "zarr.json").write_bytes(b"{")
    with pytest.raises(CorruptStoreError, match=r"labels/zarr.json is damaged"):
        read_labels(store)
