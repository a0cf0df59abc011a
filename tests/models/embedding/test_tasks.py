"""What one task writes: the rows of a plain loop, or an error that names the patch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import openslide
import pytest
import torch
from safetensors.torch import save_file

from models.embedding import tasks, worker
from models.embedding.engine import EncoderSpec, Engine
from models.embedding.setting import REPRODUCIBLE
from models.embedding.tasks import RowsResult, RowsTask, calibrate, describe, embed_rows
from models.encoders import open_encoder
from models.errors import EncoderError, NumericsError, WeightsError
from tests.tiling.archives import cut
from tiling.embeddings import EmbeddingPlan, Embeddings, array_key, commit
from tiling.store import Archive, PatchStore

TINY = Engine(EncoderSpec("test_resnet", "random:0"), device="cpu", batch=16)


def task_of(store: PatchStore, engine: Engine = TINY, dtype: str = "f4") -> RowsTask:
    card = describe(engine).card
    plan = EmbeddingPlan(len(store), card["dim"], dtype)
    key = array_key(store.slide_id, "e")
    identity = worker.open_once(engine)[0].card.identity
    return RowsTask(store.storage, store.slide_id, key, plan, 0, identity, REPRODUCIBLE, "topic")


def embedded(store: PatchStore, engine: Engine = TINY, dtype: str = "f4") -> np.ndarray:
    """Do the task, commit, and read."""
    task = task_of(store, engine, dtype)
    result = embed_rows(engine, task)
    commit(store.storage, task.prefix, task.plan, {"checksums": result.checksums})
    return Embeddings(store, "e").read()


@pytest.mark.parametrize("encoding", ["raw", "lossless"])
def test_rows_equal_a_plain_loop_over_openslide(
    encoding: str, cmu_slide: Path, tmp_path: Path
) -> None:
    """A few patches of the bundled slide through ResNet-18."""
    few = {"patch_size_px": 224, "stride_px": 900}
    store = cut(tmp_path / "a.zarr", cmu_slide, encoding=encoding, **few)
    engine = Engine(EncoderSpec("resnet18", "random:0"), device="cpu", batch=4)
    found = embedded(store, engine)
    network = open_encoder("resnet18", "random:0").network
    slide, wanted = openslide.OpenSlide(cmu_slide), []
    for x, y in store.coords.tolist():
        pixels = np.asarray(slide.read_region((x, y), 0, (224, 224)).convert("RGB")) / 255
        image = (pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        with torch.no_grad():
            wanted.append(network(torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)[None]))
    exact = torch.cat(wanted).numpy()
    assert len(exact) >= 6
    assert np.abs(found - exact).max() <= 1e-5 * np.abs(exact).max()


def test_the_encoder_is_loaded_once_for_all_tasks(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, loads = archive["one"], []
    import models.encoders

    monkeypatch.setattr(
        models.encoders,
        "open_encoder",
        lambda *words, **more: (loads.append(words), open_encoder(*words, **more))[1],
    )
    results = [embed_rows(TINY, task_of(store)) for _ in range(3)]
    assert len(loads) == 1
    assert [result.loading_s for result in results] == [0, 0, 0]  # `describe` had loaded it
    assert len({id(worker._loaded.forward)}) == 1
    describe(replace(TINY, spec=EncoderSpec("test_resnet", "random:1")))
    assert len(loads) == 2


def test_weights_that_were_replaced_are_loaded_anew(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    engine = replace(TINY, spec=EncoderSpec("test_resnet", str(file)))
    seen = []
    for seed in (0, 1):
        network = open_encoder("test_resnet", f"random:{seed}").network
        save_file(network.state_dict(), file)
        seen.append(describe(engine).card["weights_sha256"])
    assert seen[0] != seen[1]


def test_other_weights_on_a_worker_are_refused(archive: Archive) -> None:
    task = task_of(archive["one"])
    other = replace(TINY, spec=EncoderSpec("test_resnet", "random:1"))
    with pytest.raises(WeightsError, match="finds other weights than the first one"):
        embed_rows(other, task)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EncoderError, match=r"--device cuda: torch .* finds no GPU"):
        describe(replace(TINY, device="cuda"))
    assert describe(replace(TINY, device="auto")).device == "cpu"


class Poisoned(torch.nn.Module):
    """Gives what it is told for the patch with the darkest mean."""

    def __init__(self, network: torch.nn.Module, value: float, at: int) -> None:
        super().__init__()
        self.network, self.value, self.at, self.seen = network, value, at, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = self.network(images).clone()
        if self.seen <= self.at < self.seen + len(rows):
            rows[self.at - self.seen :, 3] = self.value
        self.seen += len(rows)
        return rows


def poisoned(store: PatchStore, value: float, at: int, dtype: str) -> RowsResult:
    task = task_of(store, dtype=dtype)
    encoder, _ = worker.open_once(TINY)
    encoder.network = Poisoned(encoder.network, value, at)
    return embed_rows(TINY, task)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_name_the_first_patch(archive: Archive, value: float) -> None:
    with pytest.raises(NumericsError, match=r"^one: patch 21: the encoder gave NaN or infinity$"):
        poisoned(archive["one"], value, 21, "f4")
    assert not Path(archive.location, "one/embeddings").exists()


def test_numbers_too_large_for_float16_say_what_to_do(archive: Archive) -> None:
    with pytest.raises(NumericsError, match=r"one: patch 8: 7e\+04 is too large .* --dtype float"):
        poisoned(archive["one"], 7e4, 8, "f2")
    assert poisoned(archive["one"], 7e4, 8, "f4").number == 0


def test_float16_rows_are_float32_rows_rounded(archive: Archive) -> None:
    exact = embedded(archive["one"])
    np.testing.assert_array_equal(embedded(archive["one"], dtype="f2"), exact.astype(np.float16))


def test_workers_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "cores", lambda: 12)
    worker.share_cores(replace(TINY, processes=3))
    assert torch.get_num_threads() == 4
    worker.share_cores(replace(TINY, processes=99))
    assert torch.get_num_threads() == 1
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert worker.decoders_of(TINY, cpu) == 1
    assert worker.decoders_of(replace(TINY, processes=3), gpu) == 3
    assert worker.decoders_of(replace(TINY, decoders=20), cpu) == 20


def test_a_setting_is_chosen_on_the_slides_own_patches(archive: Archive) -> None:
    choice = calibrate(TINY, archive.storage, "one", 49, "auto")
    assert choice.setting == REPRODUCIBLE
    assert choice.why == "the job is too short to try others"
    assert choice.rates["float32 channels-last"] > 0
    assert worker._loaded.forward is None


def test_progress_is_told_outside_of_dask_to_nobody() -> None:
    teller = tasks._Teller("topic", "one")
    teller._last -= 60
    teller(5)
    assert teller._told == 5
