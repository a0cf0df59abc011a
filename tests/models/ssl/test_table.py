import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from models.encoders import known_encoders
from models.errors import DataError
from models.ssl.ds import Ds
from models.ssl.mocov3 import MoCoV3
from models.ssl.nsam import NSam
from models.ssl.rotnet import RotNet
from models.ssl.settings import MethodSettings
from models.ssl.simclr import SimClr
from models.ssl.srcl import Srcl
from models.ssl.supervised import Supervised
from models.ssl.table import BREAST_STUDY, METHODS, check_sampler
from tests.models.ssl.tiny import SMALL, encoder

CLASSES = {
    "supervised": Supervised,
    "rotnet": RotNet,
    "rotnet-jitter": RotNet,
    "simclr": SimClr,
    "mocov3": MoCoV3,
    "ops": MoCoV3,
    "srcl": Srcl,
    "nsam": NSam,
    "ds": Ds,
}


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_is_built_from_its_recipe(name: str) -> None:
    recipe = METHODS[name]
    settings = replace(recipe.method, **SMALL)
    method = recipe.make(encoder(), settings, classes=3, seed=0)
    assert type(method) is CLASSES[name]
    assert method.exact_accumulation == (name != "simclr")
    assert recipe.encoder in {known.name for known in known_encoders()}


def test_the_table_is_complete_and_ops_is_the_plain_baseline() -> None:
    assert set(METHODS) == set(CLASSES)
    assert METHODS["ops"] == METHODS["mocov3"]


def test_defaults_of_moco_are_those_of_the_specification() -> None:
    for name in ("mocov3", "srcl", "nsam", "ds"):
        recipe = METHODS[name]
        training, method = recipe.training, recipe.method
        assert (recipe.encoder, recipe.init, recipe.preset) == (
            "ctranspath-swin-tiny",
            "random",
            "moco-v3",
        )
        assert (training.optimizer, training.base_lr, training.weight_decay) == (
            "adamw",
            1.5e-4,
            0.1,
        )
        assert (training.epochs, training.warmup_epochs, training.batch) == (50, 7, 1024)
        assert (training.scale_lr, training.constant_lr, training.decay_all) == (
            True,
            False,
            False,
        )
        assert (method.temperature, method.momentum, method.momentum_schedule) == (
            0.2,
            0.99,
            "cosine",
        )
        assert (method.queue, method.positives, method.plain_epochs) == (0, 5, 5)
        assert (method.pool, method.rule, method.ds_mode) == ("any", "similar", "schedule")
        assert (method.ds_curve, method.ds_end, method.ds_threshold) == ("linear", 0.5, 0.8)
        assert (method.ds_action, method.hidden, method.features) == ("promote", 4096, 256)


def test_defaults_of_simclr_have_two_columns() -> None:
    general, breast = METHODS["simclr"], BREAST_STUDY
    assert (general.method.temperature, general.method.simclr_head) == (0.1, "bn")
    assert (general.training.batch, general.training.epochs) == (512, 100)
    assert (breast.method.temperature, breast.method.simclr_head) == (0.07, "plain")
    assert (breast.training.batch, breast.training.epochs) == (256, 100)
    assert (breast.training.optimizer, breast.training.base_lr) == ("adam", 3e-4)
    assert breast.training.constant_lr
    assert not breast.training.scale_lr
    for recipe in (general, breast):
        assert recipe.method.features == 128
        assert (recipe.encoder, recipe.init, recipe.preset) == ("resnet50", "published", "simclr")


def test_defaults_of_the_breast_studys_other_methods() -> None:
    for name, lr in (("rotnet", 3e-4), ("rotnet-jitter", 3e-4), ("supervised", 1e-4)):
        recipe = METHODS[name]
        training = recipe.training
        assert (training.optimizer, training.base_lr, training.scale_lr) == ("adam", lr, False)
        assert (training.batch, training.epochs) == (64, 100)
        assert (recipe.encoder, recipe.init) == ("resnet50", "published")
        assert not recipe.takes_d4
        assert recipe.needs_labels == (name == "supervised")
    assert METHODS["rotnet-jitter"].method.jitter == 0.5
    assert METHODS["rotnet-jitter"].preset == "rotation-jitter"


REFUSED = [
    ("srcl", {"pool": "same_slide"}, "shuffle", 4, 9, "several patches per slide, got the"),
    ("srcl", {"pool": "same_slide"}, "k-per-slide", 1, 9, "several patches per slide, got the"),
    ("ds", {"pool": "same_slide"}, "balanced", 4, 9, "sampler balanced; use k-per-slide"),
    ("srcl", {"pool": "other_slides"}, "one-slide", 4, 9, "batches of several slides, got the"),
    ("ds", {"pool": "other_slides"}, "shuffle", 4, 1, "sampler shuffle on 1 slides"),
    ("nsam", {"rule": "same_slide"}, "one-slide", 4, 9, "rule same_slide needs batches of several"),
    (
        "nsam",
        {"rule": "same_slide", "queue": 8},
        "shuffle",
        4,
        1,
        "rule same_slide needs batches of several",
    ),
]


@pytest.mark.parametrize(("name", "changes", "sampler", "k", "slides", "message"), REFUSED)
def test_a_sampler_that_cannot_serve_is_refused(
    name: str, changes: dict[str, Any], sampler: str, k: int, slides: int, message: str
) -> None:
    settings = MethodSettings(**changes)
    with pytest.raises(DataError, match=message):
        check_sampler(METHODS[name], settings, sampler, per_slide=k, slides=slides)


TAKEN: list[tuple[str, dict[str, Any], str, int, int]] = [
    ("mocov3", {"pool": "same_slide", "rule": "same_slide"}, "shuffle", 1, 1),
    ("simclr", {"pool": "other_slides"}, "one-slide", 1, 1),
    ("nsam", {"pool": "same_slide"}, "shuffle", 1, 9),
    ("srcl", {"rule": "same_slide"}, "one-slide", 1, 1),
    ("srcl", {"pool": "same_slide"}, "k-per-slide", 2, 9),
    ("srcl", {"pool": "same_slide"}, "one-slide", 1, 9),
    ("srcl", {"pool": "same_slide"}, "shuffle", 1, 1),
    ("srcl", {"pool": "same_slide", "queue": 99}, "shuffle", 1, 9),
    ("ds", {"pool": "other_slides"}, "shuffle", 1, 2),
    ("ds", {"pool": "other_slides", "queue": 99}, "one-slide", 1, 2),
    ("nsam", {"rule": "same_slide"}, "balanced", 1, 2),
]


@pytest.mark.parametrize(("name", "changes", "sampler", "k", "slides"), TAKEN)
def test_a_sampler_that_serves_is_taken(
    name: str, changes: dict[str, Any], sampler: str, k: int, slides: int
) -> None:
    check_sampler(METHODS[name], MethodSettings(**changes), sampler, per_slide=k, slides=slides)


def test_the_table_is_read_without_torch() -> None:
    code = "import sys, models.ssl.table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
