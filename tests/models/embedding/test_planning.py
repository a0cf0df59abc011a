"""What is embedded, what is there already, and what is refused before any work."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.embedding.planning import Planned, Request, mark, plan_run
from models.embedding.setting import Setting
from models.encoders.card import EncoderCard
from models.errors import MismatchError
from tests.tiling.archives import change_attributes, cut
from tiling.embeddings import EmbeddingPlan, array_key, commit, put_shard
from tiling.errors import ConflictError, StoreError
from tiling.store import Archive

CARD = EncoderCard(
    name="e",
    method="random",
    architecture="timm:e",
    weights="random:0",
    weights_sha256="00",
    input_px=160,
    mpp=0.5,
    dim=4,
    layer="last",
)
REQUEST = Request("e", CARD, "f4")
BF16 = Setting("bf16")


def put(archive: Archive, slide_id: str, request: Request = REQUEST, **changes: object) -> None:
    """Commit embeddings as a run does."""
    store = archive[slide_id]
    plan = EmbeddingPlan(len(store), request.card.dim, request.dtype)
    key = array_key(slide_id, request.encoder_id)
    for number in range(plan.shards):
        rows = np.zeros((len(plan.rows(number)), plan.dim), np.float32)
        put_shard(archive.storage, key, plan, number, rows)
    attributes = {"card": request.card.document(), "settings": BF16.document("cpu")}
    commit(archive.storage, key, plan, attributes | changes)


def planned(archive: Archive, request: Request = REQUEST, *slide_ids: str) -> Planned:
    return plan_run(archive, slide_ids or archive.slide_ids(), request)


def test_everything_is_to_do_in_a_new_archive(archive: Archive) -> None:
    found = planned(archive)
    assert [(work.slide_id, work.count) for work in found.todo] == [("none", 0), ("one", 49)]
    assert (found.skipped, found.recorded) == ({}, None)


def test_what_is_there_is_skipped_and_its_setting_taken_over(archive: Archive) -> None:
    put(archive, "one")
    found = planned(archive)
    assert [work.slide_id for work in found.todo] == ["none"]
    assert found.skipped == {"one": 49}
    assert found.recorded == BF16
    assert planned(archive, REQUEST, "none").recorded == BF16


def test_versions_and_history_are_no_difference(archive: Archive) -> None:
    put(archive, "one")
    later = CARD.model_copy(update={"versions": {"torch": "9"}, "data": ("x",), "method": "y"})
    assert planned(archive, replace(REQUEST, card=later)).skipped == {"one": 49}


DIFFERENT = {
    "weights": (
        {"card": CARD.model_copy(update={"weights_sha256": "11"})},
        "weights_sha256 differ",
    ),
    "layer": ({"card": CARD.model_copy(update={"layer": "cls"})}, r"encoder \(layer differ"),
    "dtype": ({"dtype": "f2"}, "they are float32"),
    "precision": ({"wanted": "float32"}, "they were computed in bf16"),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_other_embeddings_of_the_name_are_a_conflict(archive: Archive, kind: str) -> None:
    put(archive, "one")
    changes, sentence = DIFFERENT[kind]
    request = replace(REQUEST, **changes)
    with pytest.raises(ConflictError, match=f"other embeddings named e: one: .*{sentence}"):
        planned(archive, request)
    found = planned(archive, replace(request, overwrite=True))
    assert [work.slide_id for work in found.todo] == ["none", "one"]
    assert found.recorded is None
    assert len(planned(archive, replace(request, encoder_id="other")).todo) == 2


def test_one_name_is_one_encoder_in_the_whole_archive(archive: Archive) -> None:
    put(archive, "one")
    request = replace(REQUEST, dtype="f2", overwrite=True)
    with pytest.raises(ConflictError, match=r"they are float32; give another --name, or leave"):
        planned(archive, request, "none")


def test_embeddings_of_unknown_origin_are_a_conflict(archive: Archive) -> None:
    put(archive, "one", card=None)
    with pytest.raises(ConflictError, match="damaged, or of unknown origin"):
        planned(archive)


@pytest.mark.parametrize(
    ("update", "sentence"),
    [
        ({"input_px": 224}, "one: the patches have 160 px a side, e wants 224"),
        ({"mpp": 0.25}, "one: the patches have 0.5 um/px, e wants 0.25"),
    ],
)
def test_patches_that_do_not_match_are_refused_unless_forced(
    archive: Archive, update: dict[str, float], sentence: str
) -> None:
    request = replace(REQUEST, card=CARD.model_copy(update=update))
    with pytest.raises(MismatchError, match=f"{sentence}; cut at that size, or use --force"):
        planned(archive, request, "one")
    (work,) = planned(archive, replace(request, force=True), "one").todo
    assert work.forced == (sentence.removeprefix("one: "),)


def test_an_unknown_resolution_is_no_mismatch(archive: Archive) -> None:
    change_attributes(archive["one"], mpp_effective=[None, None])
    assert planned(archive, REQUEST, "one").todo[0].forced == ()


@pytest.mark.parametrize("changes", [{"data_type": "uint16"}, {"shape": [49, 160, 160, 1]}])
def test_patches_that_are_no_pictures_are_refused(
    archive: Archive, changes: dict[str, object]
) -> None:
    path = Path(archive.location, "one/patches/zarr.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(StoreError, match=r"one: its patches are uint\d+ with . channels"):
        planned(archive)


def test_a_slide_that_is_cut_anew_has_another_mark(archive: Archive, svs: Path) -> None:
    before = mark(archive["one"])
    assert mark(archive["one"]) == before
    cut(archive.location, svs, "one", patch_size_px=160, stride_px=200, overwrite=True)
    assert mark(archive["one"]) != before
