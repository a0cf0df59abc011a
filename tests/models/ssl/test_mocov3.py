import math
from typing import Any

import pytest
import timm
import torch
from torch import nn

from models.encoders import Encoder
from models.encoders.layers import Usual
from models.errors import DataError
from models.ssl.mocov3 import MoCoV3
from models.training.method import Clock, StepLoss, Views
from tests.models.probe.planted import card
from tests.models.ssl.loops import moco_loop
from tests.models.ssl.tiny import CLOCK, encoder, gradients, part, settings, views


def _method(*, norm: bool = False, **changes: Any) -> MoCoV3:
    found = MoCoV3(encoder(norm=norm), settings(**changes), seed=1)
    with torch.no_grad():  # as after some training, so that the twin differs
        for number, parameter in enumerate(found.twin.parameters()):
            parameter.mul_(1 + 0.1 * number)
    return found.eval()


def _step(method: MoCoV3, given: Views, clock: Clock = CLOCK) -> StepLoss:
    return method(given, method.begin_step([given], clock), 0, clock)


def test_it_equals_a_double_loop_over_queries_and_keys() -> None:
    method, given = _method(temperature=0.3), views(7)
    found = _step(method, given)
    expected = moco_loop(method, given, lambda _query, own, _keys: ({own}, set()))
    assert found.loss.item() == pytest.approx(expected, rel=1e-5)
    assert found.metrics["negatives"].item() == 6  # of one view only
    assert found.metrics["momentum"].item() == pytest.approx(
        1 - 0.5 * (1 + math.cos(math.pi * 0.3)) * 0.01
    )
    assert torch.equal(found.watched, method.encoder(given.images[0]))
    assert not found.watched.requires_grad


def test_views_may_be_swapped() -> None:
    method, given = _method(momentum=1.0), views(6)
    swapped = given._replace(images=given.images[::-1])
    torch.testing.assert_close(_step(method, given).loss, _step(method, swapped).loss)


def test_equal_logits_give_two_tau_log_n_per_direction() -> None:
    method, given = _method(temperature=0.4), views(5)
    given = given._replace(images=tuple(view[[0] * 5] for view in given.images))
    expected = 2 * (2 * 0.4 * math.log(5))
    assert _step(method, given).loss.item() == pytest.approx(expected, rel=1e-5)


def test_no_gradient_reaches_the_twin_and_all_else_is_trained() -> None:
    method = _method(norm=True).train()
    _step(method, views(6)).loss.backward()
    for name, parameter in method.named_parameters():
        if name.startswith("twin."):
            assert not parameter.requires_grad, name
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_momentum_0_copies_the_networks_and_1_freezes_the_twin(momentum: float) -> None:
    method = _method(momentum=momentum, momentum_schedule="constant")
    before = [p.clone() for p in method.twin.parameters()]
    trained = [*method.encoder.parameters(), *method.projector.parameters()]
    method.begin_step([views(4)], CLOCK)
    expected = trained if momentum == 0 else before
    for mine, theirs in zip(method.twin.parameters(), expected, strict=True):
        assert torch.equal(mine, theirs)


def test_the_twins_batch_statistics_come_from_its_own_batches() -> None:
    method = _method(norm=True, momentum=0.0, momentum_schedule="constant").train()
    mine: Any = method.encoder.network[1]
    theirs: Any = method.twin.get_submodule("0.network.1")
    mine.running_mean.fill_(100.0)
    given = views(6)
    with torch.no_grad():
        method.begin_step([given], CLOCK)
        inside = [method.encoder.network[0](view).mean(dim=(0, 2, 3)) for view in given.images]
    expected = 0.9 * 0.1 * inside[0] + 0.1 * inside[1]  # from 0, momentum .1, view after view
    torch.testing.assert_close(theirs.running_mean, expected)
    assert (mine.running_mean == 100).all()
    assert (theirs.num_batches_tracked, mine.num_batches_tracked) == (2, 0)


@pytest.mark.parametrize("queue", [0, 5])
def test_micro_batches_equal_the_whole_batch(queue: int) -> None:
    whole, parts = _method(queue=queue), _method(queue=queue)
    for seed in (0, 1):  # the second step meets the queue
        given = views(8, seed)
        micro = [part(given, slice(0, 4)), part(given, slice(4, 8))]
        prepared = whole.begin_step([given], CLOCK)
        found = whole(given, prepared, 0, CLOCK)
        found.loss.backward()
        whole.end_step(prepared, CLOCK)
        prepared = parts.begin_step(micro, CLOCK)
        losses = [parts(one, prepared, i, CLOCK).loss for i, one in enumerate(micro)]
        (sum(losses) / 2).backward()
        parts.end_step(prepared, CLOCK)
        torch.testing.assert_close(sum(losses) / 2, found.loss)
    for (name, mine), theirs in zip(
        gradients(parts).items(), gradients(whole).values(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, msg=name)


def test_keys_of_the_queue_are_negatives_but_for_the_own_patch() -> None:
    method, first, second = _method(queue=6, momentum=1.0), views(4, 0), views(4, 1)
    second = second._replace(patch=torch.tensor([101, 300, 301, 302]))
    prepared = method.begin_step([first], CLOCK)
    method.end_step(prepared, CLOCK)
    found = _step(method, second)
    assert found.metrics["negatives"].item() == (3 + 3 + 3 * (3 + 4)) / 4
    prepared, total = method.begin_step([second], CLOCK), 0.0
    tau = method.settings.temperature
    for asked, other, keys in ((0, 1, prepared.keys[1]), (1, 0, prepared.keys[0])):
        old = nn.functional.normalize(method.twin(first.images[other]), dim=1)
        torch.testing.assert_close(keys.rows.vectors[4:8], old)
        fresh = nn.functional.normalize(method.twin(second.images[other]), dim=1)
        embedded = method.encoder(second.images[asked])
        query = nn.functional.normalize(method.predictor(method.projector(embedded)), dim=1)
        for i, patch in enumerate(second.patch.tolist()):
            met = [
                *fresh,
                *(
                    key
                    for key, whose in zip(old, first.patch, strict=True)
                    if whose.item() != patch
                ),
            ]
            logits = torch.stack([query[i] @ key for key in met]) / tau
            total += 2 * tau * -(logits[i] - logits.logsumexp(0)).item() / 4
    assert found.loss.item() == pytest.approx(total, rel=1e-5)


def test_the_same_seed_gives_the_same_heads() -> None:
    found = [MoCoV3(encoder(), settings(), seed=seed).projector[0].weight for seed in (1, 1, 2)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def _timm(name: str, dim: int, px: int) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(name, num_classes=0)
    return Encoder(network, Usual(), card(name, dim, input_px=px))


@pytest.mark.parametrize(
    ("name", "dim", "px", "layers"),
    [("resnet10t", 512, 32, (2, 2, 0)), ("test_vit", 64, 160, (3, 2, 1))],
)
def test_timms_networks_are_trained_with_their_heads(
    name: str, dim: int, px: int, layers: tuple[int, int, int]
) -> None:
    given = Views(
        tuple(torch.randn(2, 4, 3, px, px, generator=torch.Generator().manual_seed(0))),
        torch.arange(4),
        torch.arange(4),
        None,
    )
    method = MoCoV3(_timm(name, dim, px), settings(), seed=0).train()
    _step(method, given).loss.backward()
    linear = [
        sum(isinstance(m, nn.Linear) for m in head) for head in (method.projector, method.predictor)
    ]
    assert (*linear, int(isinstance(method.predictor[-1], nn.BatchNorm1d))) == layers
    trained = [p for p in method.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


def _is_trained(encoder: Encoder) -> bool:
    proj: Any = encoder.network.patch_embed
    return all(p.requires_grad for p in proj.parameters())


@pytest.mark.parametrize("asked", [True, False])
def test_a_vits_patch_projection_is_frozen_where_asked(asked: bool) -> None:
    given = _timm("test_vit", 64, 160)
    method = MoCoV3(given, settings(freeze_patch=asked), seed=0)
    assert _is_trained(method.encoder) != asked
    others = [p for n, p in given.network.named_parameters() if "patch_embed" not in n]
    assert all(p.requires_grad for p in others)


def test_neither_a_swins_patches_nor_a_convolutional_stem_are_frozen() -> None:
    from models.encoders.networks import build_network

    for name in ("timm:swin_tiny_patch4_window7_224", "ctranspath-swin-tiny"):
        with torch.device("meta"):
            network = build_network(name, {})
            given = Encoder(network, Usual(), card(name, 768, architecture=name))
            method = MoCoV3(given, settings(freeze_patch=True), seed=0)
        assert _is_trained(method.encoder)


def test_another_number_of_views_is_refused() -> None:
    method, given = _method(), views(4, number=3)
    with pytest.raises(DataError, match="in the number of 2, got 3"):
        method.begin_step([given], CLOCK)
