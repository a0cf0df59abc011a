"""Weights files: every wrapping and prefix that is around, and what is wrong with a file, said."""

import argparse
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.encoders import open_encoder
from models.errors import WeightsError

MINI = "test_resnet"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Weights of the small network, of another seed than any that is opened here."""
    found = open_encoder(MINI, "random:99").network.state_dict()
    return {name: tensor.contiguous() for name, tensor in found.items()}


def opens_as(path: Path, state: State) -> bool:
    found = open_encoder(MINI, path).network.state_dict()
    return all(torch.equal(found[name], tensor) for name, tensor in state.items())


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def test_a_safetensors_file_is_read_and_hashed(state: State, tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    save_file(state, path)
    assert opens_as(path, state)
    card = open_encoder(MINI, path).card
    assert card.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (card.weights, card.method, card.name) == ("plain.safetensors", "unknown", MINI)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "teacher", "network"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "encoder.", "module.encoder."])
def test_wrappers_and_prefixes_are_found(
    state: State, tmp_path: Path, wrapper: str, prefix: str
) -> None:
    path = tmp_path / "wrapped.pth"
    arguments = argparse.Namespace(lr=0.1, arch="resnet")
    torch.save({wrapper: prefixed(state, prefix), "best": torch.ones(1), "args": arguments}, path)
    assert opens_as(path, state)


def test_training_heads_are_left_out(state: State, tmp_path: Path) -> None:
    path = tmp_path / "heads.pth"
    heads = {"fc.weight": torch.zeros(5, 96), "projector.0.weight": torch.zeros(8, 96)}
    torch.save({"state_dict": prefixed(state | heads, "module.")}, path)
    assert opens_as(path, state)


@pytest.mark.parametrize(
    ("chosen", "other"),
    [
        ("teacher.backbone.", "student.backbone."),
        ("module.base_encoder.", "module.momentum_encoder."),
    ],
)
def test_of_two_copies_the_one_that_its_authors_evaluate_is_taken(
    state: State, tmp_path: Path, chosen: str, other: str
) -> None:
    path = tmp_path / "twins.pth"
    zeros = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    torch.save(prefixed(zeros, other) | prefixed(state, chosen), path)
    assert opens_as(path, state)


def test_a_momentum_encoder_alone_is_taken(state: State, tmp_path: Path) -> None:
    path = tmp_path / "alone.pth"
    torch.save(prefixed(state, "momentum_encoder."), path)
    assert opens_as(path, state)


def test_a_teacher_is_preferred_to_its_student(state: State, tmp_path: Path) -> None:
    path = tmp_path / "dino.pth"
    zeros = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    torch.save({"student": zeros, "teacher": prefixed(state, "backbone.")}, path)
    assert opens_as(path, state)


def test_half_precision_and_files_without_counters_are_taken(state: State, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    halved = {n: t.half() for n, t in state.items() if not n.endswith("num_batches_tracked")}
    save_file(halved, path)
    found = open_encoder(MINI, path).network.state_dict()
    assert {tensor.dtype for tensor in found.values()} == {torch.float32, torch.int64}
    assert torch.equal(found["conv1.0.weight"], halved["conv1.0.weight"].float())


def test_positions_are_interpolated_to_another_size(tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    opened = open_encoder("test_vit", "random:1").network
    save_file(opened.state_dict(), path)
    small = open_encoder("test_vit", path, input_px=64)
    assert small.network.pos_embed.shape == (1, 17, 64)
    assert torch.equal(small.network.patch_embed.proj.weight, opened.patch_embed.proj.weight)


def test_the_same_file_gives_the_same_bits_as_the_network_it_is_of(tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    first = open_encoder("test_vit", "random:1", input_px=64)
    save_file(first.network.state_dict(), path)
    second = open_encoder("test_vit", path, input_px=64)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(first(images), second(images))
    assert not any(tensor.is_meta for tensor in second.state_dict().values())
    assert all(parameter.requires_grad for parameter in second.parameters())


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_checkpoint_with_code_is_refused_and_the_code_does_not_run(
    state: State, tmp_path: Path, as_zip: bool
) -> None:
    path, made = tmp_path / "evil.pth", tmp_path / "made-by-payload"
    torch.save(
        {"state_dict": state, "x": Payload(made)}, path, _use_new_zipfile_serialization=as_zip
    )
    with pytest.raises(WeightsError, match=r"holds code \(the Python object posix.mkdir\)"):
        open_encoder(MINI, path)
    assert not made.exists()


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(WeightsError, match=r"holds code .*Linear.* save its state dict alone"):
        open_encoder(MINI, path)


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _nothing(data: bytes) -> bytes:
    return data[:0]


def _page(_: bytes) -> bytes:
    return b"<html>404</html>"


def _noise(data: bytes) -> bytes:
    return hashlib.sha256(data).digest() * 100


@pytest.mark.parametrize("damage", [_cut, _nothing, _page, _noise])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_damaged_file_is_called_so(
    state: State, tmp_path: Path, damage: Callable[[bytes], bytes], suffix: str
) -> None:
    path = tmp_path / f"file.{suffix}"
    if suffix == "pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    data = damage(path.read_bytes())
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=f"{len(data):,} bytes.* is damaged, cut short or no"):
        open_encoder(MINI, path)


def test_another_architecture_is_told_by_names_and_shapes(state: State, tmp_path: Path) -> None:
    path = tmp_path / "resnet.safetensors"
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"VisionTransformer: missing: cls_token, .* more; not"):
        open_encoder("test_vit", path)
    wide = state | {"conv1.0.weight": torch.zeros(9, 3, 3, 3)}
    save_file(wide, path)
    expected = r"of another shape: conv1.0.weight \(9, 3, 3, 3\) instead of \(\d+, 3, 3, 3\)$"
    with pytest.raises(WeightsError, match=expected):
        open_encoder(MINI, path)


def test_a_deeper_network_is_not_taken_for_a_shallower_one(state: State, tmp_path: Path) -> None:
    path = tmp_path / "deeper.safetensors"
    save_file(state | {"layer1.7.conv1.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match=r"not of this network: layer1\.7\.conv1\.weight$"):
        open_encoder(MINI, path)


def test_a_network_of_another_patch_size_is_not_resampled(tmp_path: Path) -> None:
    path = tmp_path / "patch8.safetensors"
    state = open_encoder("test_vit", "random:0").network.state_dict()
    save_file(state | {"patch_embed.proj.weight": torch.zeros(64, 3, 8, 8)}, path)
    with pytest.raises(WeightsError, match=r"patch_embed.proj.weight \(64, 3, 8, 8\) instead of"):
        open_encoder("test_vit", path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(
    state: State, tmp_path: Path, value: float
) -> None:
    path = tmp_path / "broken.safetensors"
    broken = state["conv1.0.weight"].clone()
    broken[0, 0, 0, 0] = value
    save_file(state | {"conv1.0.weight": broken}, path)
    with pytest.raises(WeightsError, match=r"NaN or infinity in conv1\.0\.weight"):
        open_encoder(MINI, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no weights file .*none\.pth"):
        open_encoder(MINI, tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=r"must hold one \.safetensors file, it holds: none"):
        open_encoder(MINI, tmp_path)


def test_a_file_without_tensors_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "numbers.pth"
    torch.save({"epoch": 3}, path)
    with pytest.raises(WeightsError, match="holds no tensors"):
        open_encoder(MINI, path)
