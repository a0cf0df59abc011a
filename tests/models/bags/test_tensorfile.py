"""Tensor files against torch.save and torch.load; rows in another order against NumPy."""

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.bags import reorder
from models.bags.bag import Bag, Rows
from models.bags.reorder import reordered
from models.bags.tensorfile import open_tensor, take_tensor_rows, write_tensor
from models.errors import BagError


def write(path: Path, blocks: Iterable[Rows], shape: tuple[int, int], dtype: Any) -> None:
    with path.open("wb") as file:
        write_tensor(file, blocks, shape, dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("shape", [(0, 7), (1, 1), (33, 7), (1000, 64)])
@pytest.mark.parametrize("mapped", [False, True])
def test_torch_opens_what_is_written(
    tmp_path: Path, shape: tuple[int, int], dtype: str, mapped: bool
) -> None:
    values = np.random.default_rng(0).random(shape, np.float32).astype(dtype)
    path = tmp_path / "t.pt"
    write(path, np.array_split(values, 3), shape, np.dtype(dtype))
    found = torch.load(path, weights_only=True, mmap=mapped)
    assert type(found) is torch.Tensor
    assert found.dtype == getattr(torch, dtype)
    assert found.is_contiguous()
    assert np.array_equal(found.numpy(), values)


def test_records_are_those_of_torch_and_sound(tmp_path: Path) -> None:
    values = torch.rand(5, 7)
    write(tmp_path / "ours.pt", [values.numpy()], (5, 7), np.dtype("float32"))
    torch.save(values, tmp_path / "theirs.pt")
    with zipfile.ZipFile(tmp_path / "ours.pt") as file:
        assert file.testzip() is None
        ours = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    with zipfile.ZipFile(tmp_path / "theirs.pt") as file:
        theirs = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    for name in ("data/0", "byteorder", "version"):
        assert ours[name] == theirs[name]
    reader = torch._C.PyTorchFileReader(str(tmp_path / "ours.pt"))
    assert reader.get_record_offset("data/0") % 64 == 0


def test_other_rows_than_were_told_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"the tensor was to have 6 rows, and 5 came"):
        write(tmp_path / "t.pt", [np.zeros((5, 2), "f4")], (6, 2), np.dtype("float32"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param([torch.zeros(3, 2)], "holds a list, and not one float tensor", id="list"),
        pytest.param(torch.zeros(3), r"holds a torch.float32 tensor \(3,\)", id="one-dimension"),
        pytest.param(torch.zeros(3, 2, dtype=torch.int64), "holds a torch.int64", id="integers"),
    ],
)
def test_other_contents_are_named(tmp_path: Path, content: object, sentence: str) -> None:
    torch.save(content, tmp_path / "t.pt")
    with pytest.raises(BagError, match=sentence):
        open_tensor(tmp_path / "t.pt")


def test_what_is_no_tensor_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(BagError, match=r"t\.pt is no tensor that can be opened safely"):
        open_tensor(tmp_path / "t.pt")
    with pytest.raises(BagError, match="no tensor that can be opened safely"):
        open_tensor(tmp_path / "missing.pt")


def test_rows_are_taken_by_index(tmp_path: Path) -> None:
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    write(tmp_path / "t.pt", [values], (10, 2), np.dtype("float32"))
    take = take_tensor_rows(open_tensor(tmp_path / "t.pt"))
    assert np.array_equal(take(np.array([1, 4, 9])), values[[1, 4, 9]])


@pytest.mark.parametrize("limit", [0, reorder.IN_MEMORY_BYTES])
def test_rows_come_in_another_order(
    bag: Callable[..., Bag], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(reorder, "IN_MEMORY_BYTES", limit)
    known = bag("odd")
    order = np.random.default_rng(1).permutation(len(known))[:-3]
    scratch = tmp_path / "scratch"
    blocks = list(reordered(known, order, np.dtype("float16"), scratch))
    assert np.array_equal(np.concatenate(blocks), known.read()[order].astype(np.float16))
    assert not scratch.exists()
