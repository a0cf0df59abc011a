"""The same rows from any batch and setting, and what happens when memory is short."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.embedding.forward import CPU_BATCH, Forward
from models.embedding.setting import REPRODUCIBLE, Setting
from models.encoders import Encoder, open_encoder
from models.errors import EncoderError
from tiling.reader import PatchReader
from tiling.store import PatchStore

CPU = torch.device("cpu")


class Cramped(nn.Module):
    """A network on a device whose memory holds so many images at a time."""

    def __init__(self, network: nn.Module, room: int) -> None:
        super().__init__()
        self.network, self.room = network, room
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.network(images)


def embedded(
    encoder: Encoder, store: PatchStore, batch: int | None, setting: Setting = REPRODUCIBLE
) -> np.ndarray:
    forward = Forward(encoder, setting, CPU, batch)
    return run(forward, batches_of(store, forward.batch))


def batches_of(store: PatchStore, size: int) -> Iterable[Tensor]:
    pixels = torch.from_numpy(PatchReader(store).read(range(len(store))))
    return pixels.split(size)


def run(forward: Forward, batches: Iterable[Tensor]) -> np.ndarray:
    out = np.full((49, forward.encoder.card.dim), np.nan, np.float32)
    told: list[tuple[int, int]] = []
    forward.embed(batches, out, lambda start, stop: told.append((start, stop)))
    assert [stop for _, stop in told[:-1]] == [start for start, _ in told[1:]]
    assert told[-1][1] == len(out)
    return out


def one_by_one(encoder: Encoder, store: PatchStore) -> np.ndarray:
    """Each patch by itself, in float64 from the prepared image on."""
    network = encoder.double()
    rows = []
    with torch.no_grad():
        for patch in PatchReader(store):
            image = torch.from_numpy(patch)[None].permute(0, 3, 1, 2).double() / 255
            mean = torch.tensor(encoder.card.mean).view(1, 3, 1, 1)
            std = torch.tensor(encoder.card.std).view(1, 3, 1, 1)
            rows.append(network((image - mean) / std)[0].numpy())
    return np.stack(rows)


def assert_close(found: np.ndarray, wanted: np.ndarray, share: float = 1e-5) -> None:
    """Differences are small against the largest value."""
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= share * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_any_batch_gives_the_same_rows(store: PatchStore, name: str) -> None:
    wanted = one_by_one(open_encoder(name, "random:0"), store)
    encoder = open_encoder(name, "random:0")
    for batch in (1, 7, 64, None):
        assert_close(embedded(encoder, store, batch), wanted)


def test_layouts_give_the_same_rows(store: PatchStore, encoder: Encoder) -> None:
    plain = embedded(encoder, store, 16, replace(REPRODUCIBLE, channels_last=False))
    assert_close(embedded(encoder, store, 16), plain)


def test_bf16_gives_float32_rows_that_are_nearly_the_same(
    store: PatchStore, encoder: Encoder
) -> None:
    exact = embedded(encoder, store, 16)
    rough = embedded(encoder, store, 16, Setting("bf16"))
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, exact)
    cosines = (rough * exact).sum(1) / np.linalg.norm(rough, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosines.min() > 0.999


def test_memory_that_is_short_halves_the_batch_and_changes_no_row(
    store: PatchStore, encoder: Encoder
) -> None:
    wanted = embedded(encoder, store, 16)
    encoder.network = cramped = Cramped(encoder.network, room=5)
    forward = Forward(encoder, REPRODUCIBLE, CPU, 16)
    assert_close(run(forward, batches_of(store, 16)), wanted)
    assert forward.batch == 4
    assert cramped.seen[:4] == [16, 8, 4, 4]
    assert max(cramped.seen[3:]) == 4


def test_a_patch_that_fits_nowhere_is_an_error(store: PatchStore, encoder: Encoder) -> None:
    encoder.network = Cramped(encoder.network, room=0)
    forward = Forward(encoder, REPRODUCIBLE, CPU, 4)
    with pytest.raises(EncoderError, match="not even one patch fits"):
        run(forward, batches_of(store, 4))


def test_a_cpu_keeps_its_batch(encoder: Encoder) -> None:
    forward = Forward(encoder, REPRODUCIBLE, CPU)
    forward.fit_batch((160, 160, 3))
    assert forward.batch == CPU_BATCH


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_the_rows_of_a_cpu(store: PatchStore) -> None:
    wanted = one_by_one(open_encoder("test_resnet", "random:0"), store)
    forward = Forward(open_encoder("test_resnet", "random:0"), REPRODUCIBLE, torch.device("cuda"))
    forward.fit_batch((160, 160, 3))
    assert_close(run(forward, batches_of(store, forward.batch)), wanted, 1e-4)
