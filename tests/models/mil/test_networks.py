"""Every model of bags, against loops, PyTorch's own layers and torchmil."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.mil.model import MilModel, MilOutput
from models.mil.recipes import RECIPES, build_model
from models.mil.settings import ModelName, ModelSettings
from models.mil.transformer import Block, StampTransformer

NAMES: tuple[ModelName, ...] = ("abmil", "clam-sb", "clam-mb", "stamp-transformer", "mean")
DIM, CLASSES = 6, 3


def settings(name: ModelName, **changes: object) -> ModelSettings:
    return replace(RECIPES[name].model, hidden_dim=16, attention_dim=4, **changes)


def build(name: ModelName, classes: int = CLASSES, **changes: object) -> MilModel:
    return build_model(settings(name, **changes), DIM, classes, seed=3).eval()


def bags(*lengths: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Bags padded with large values, which must not matter, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    padded = torch.full((len(lengths), longest, DIM), 50.0)
    for row, length in zip(padded, lengths, strict=True):
        row[:length] = torch.randn(length, DIM, generator=generator)
    mask = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
    return padded, mask


def ask(model: MilModel, rows: Tensor, mask: Tensor | None = None) -> MilOutput:
    with torch.no_grad():
        return model(rows, mask)


@pytest.mark.parametrize("name", NAMES)
def test_attention_sums_to_one_and_ignores_padding(name: ModelName) -> None:
    rows, mask = bags(7, 3)
    output = ask(build(name), rows, mask)
    torch.testing.assert_close(output.attention.sum(-1), torch.ones(output.attention.shape[:2]))
    assert (output.attention[1, :, 3:] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_padded_bag_is_the_bag_alone(name: ModelName) -> None:
    model = build(name)
    rows, mask = bags(7, 3)
    padded = ask(model, rows, mask)
    alone = ask(model, rows[1:, :3])
    torch.testing.assert_close(padded.logits[1:], alone.logits)
    torch.testing.assert_close(padded.attention[1:, :, :3], alone.attention)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_patches_does_not_matter(name: ModelName) -> None:
    model = build(name)
    rows, _ = bags(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    straight, mixed = ask(model, rows), ask(model, rows[:, order])
    torch.testing.assert_close(straight.logits, mixed.logits)
    torch.testing.assert_close(straight.attention[:, :, order], mixed.attention)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_bags_smaller_than_the_instance_task_work(name: ModelName, count: int) -> None:
    model = build(name).train()
    rows, _ = bags(count)
    output = model(rows)
    loss = model.loss(output, torch.tensor([1]), torch.ones(CLASSES))
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_duplicated_patches_leave_the_mean_unchanged() -> None:
    model = build("mean")
    rows, _ = bags(5)
    twice = torch.cat([rows, rows], dim=1)
    torch.testing.assert_close(ask(model, rows).logits, ask(model, twice).logits)


def test_the_mean_is_a_linear_layer_on_the_mean() -> None:
    model = build("mean")
    rows, _ = bags(5)
    expected = model.classifier(rows.mean(dim=1))
    torch.testing.assert_close(ask(model, rows).logits, expected.detach())


def test_equal_seeds_build_equal_models_and_leave_the_random_state_alone() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    one, other = build("clam-sb").state_dict(), build("clam-sb").state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(before, torch.get_rng_state())


def _attention_by_loop(
    rows: Tensor, first: nn.Module, layers: tuple[nn.Linear, nn.Linear, nn.Linear]
) -> tuple[list[float], list[list[float]]]:
    """Gated attention of Ilse et al., equation (9), value by value; and the hidden rows."""
    content, gate, score = (
        [[float(w) for w in row] for row in layer.weight.detach()] for layer in layers
    )
    biases = [layer.bias.detach().tolist() if layer.bias is not None else None for layer in layers]
    scores, hidden = [], []
    for row in rows:
        h = [float(value) for value in first(row).detach()]
        hidden.append(h)
        total = 0.0 if biases[2] is None else biases[2][0]
        for k, weight in enumerate(score[0]):
            v = sum(a * b for a, b in zip(content[k], h, strict=True)) + biases[0][k]
            u = sum(a * b for a, b in zip(gate[k], h, strict=True)) + biases[1][k]
            total += weight * math.tanh(v) / (1 + math.exp(-u))
        scores.append(total)
    top = max(scores)
    powers = [math.exp(value - top) for value in scores]
    return [power / sum(powers) for power in powers], hidden


def test_gated_attention_of_abmil_equals_a_loop() -> None:
    model = build("abmil")
    rows, _ = bags(5)
    net = model.net
    layers = (net.pool.fc1.module, net.pool.fc_gated.module, net.pool.fc2)
    expected, hidden = _attention_by_loop(rows[0], net.feat_ext, layers)
    output = ask(model, rows)
    torch.testing.assert_close(output.attention[0, 0], torch.tensor(expected))
    pooled = torch.tensor(expected) @ torch.tensor(hidden)
    logits = net.classifier(pooled).detach()
    torch.testing.assert_close(output.logits[0], logits)


def test_gated_attention_of_clam_equals_a_loop() -> None:
    model = build("clam-sb")
    rows, _ = bags(5)
    part = model.attention
    layers = (part.tanh, part.gate, part.score)
    expected, hidden = _attention_by_loop(rows[0], model.first, layers)
    output = ask(model, rows)
    torch.testing.assert_close(output.attention[0, 0], torch.tensor(expected))
    pooled = torch.tensor(expected) @ torch.tensor(hidden)
    torch.testing.assert_close(output.logits[0], model.classifier(pooled).detach())


def test_clam_sb_attends_as_torchmil_does() -> None:
    from torchmil.models import CLAM_SB

    model = build("clam-sb", classes=2)
    theirs = CLAM_SB(in_shape=(DIM,), att_dim=4, gated=True, feat_ext=model.first).eval()
    part = model.attention
    theirs.pool.fc1.module.load_state_dict(part.tanh.state_dict())
    theirs.pool.fc_gated.module.load_state_dict(part.gate.state_dict())
    theirs.pool.fc2.weight.data = part.score.weight.data
    theirs.classifier.module.weight.data = model.classifier.weight.data[1:]
    theirs.classifier.module.bias.data = model.classifier.bias.data[1:]
    rows, mask = bags(7, 3)
    with torch.no_grad():
        logit, scores = theirs(rows, mask, return_att=True)
    ours = ask(model, rows, mask)
    torch.testing.assert_close(ours.logits[:, 1], logit)
    weights = torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=1)
    torch.testing.assert_close(ours.attention[:, 0], weights)


def test_clam_mb_has_a_branch_and_a_classifier_per_class() -> None:
    model = build("clam-mb")
    rows, _ = bags(6)
    output = ask(model, rows)
    assert output.attention.shape == (1, CLASSES, 6)
    assert output.hidden is not None
    for number in range(CLASSES):
        pooled = output.attention[0, number] @ output.hidden[0]
        own = nn.Linear(16, 1)
        own.weight.data = model.classifier.weight.data[number : number + 1]
        own.bias.data = model.classifier.bias.data[number : number + 1]
        torch.testing.assert_close(output.logits[0, number], own(pooled)[0].detach())


def _as_torch_layer(block: Block, width: int) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        width, 8, width, 0.0, "gelu", batch_first=True, norm_first=True
    )
    layer.self_attn.in_proj_weight.data = block.query_key_value.weight.data
    layer.self_attn.in_proj_bias.data = block.query_key_value.bias.data
    layer.self_attn.out_proj.load_state_dict(block.out.state_dict())
    layer.linear1.load_state_dict(block.mlp[0].state_dict())
    layer.linear2.load_state_dict(block.mlp[2].state_dict())
    layer.norm1.load_state_dict(block.norm1.state_dict())
    layer.norm2.load_state_dict(block.norm2.state_dict())
    return layer.train()  # without dropout the same, and it keeps off its fused path


def test_a_layer_of_the_transformer_is_pytorchs() -> None:
    block = Block(16, 8, 16)
    tokens = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    expected = _as_torch_layer(block, 16)(tokens, src_key_padding_mask=~mask)
    torch.testing.assert_close(block(tokens, mask)[mask], expected[mask])


def test_the_class_tokens_attention_is_pytorchs() -> None:
    model = build("stamp-transformer")
    assert isinstance(model, StampTransformer)
    rows, _ = bags(5)
    with torch.no_grad():
        tokens = torch.cat([model.class_token.expand(1, 1, -1), model.first(rows)], dim=1)
        tokens = model.lower(tokens, None)
        normed = model.upper.norm1(tokens)
        layer = _as_torch_layer(model.upper, 16)
        _, weights = layer.self_attn(normed, normed, normed, need_weights=True)
    seen = weights[0, 0, 1:]
    torch.testing.assert_close(ask(model, rows).attention[0, 0], seen / seen.sum())


def test_without_its_mask_the_transformer_attends_to_padding_as_its_authors_do() -> None:
    masked, plain = build("stamp-transformer"), build("stamp-transformer", mask_padding=False)
    plain.load_state_dict(masked.state_dict())
    rows, mask = bags(7, 3)
    assert (ask(plain, rows, mask).attention[1, :, 3:] > 0).all()
    torch.testing.assert_close(ask(plain, rows, mask).logits, ask(plain, rows).logits)
    assert not torch.allclose(ask(plain, rows, mask).logits[1], ask(masked, rows, mask).logits[1])


def test_the_transformers_width_must_fit_its_heads() -> None:
    with pytest.raises(ValueError, match="multiple of 8 heads, got 12"):
        build_model(replace(settings("stamp-transformer"), hidden_dim=12), DIM, 2, seed=0)


def test_one_class_is_no_classifier() -> None:
    with pytest.raises(ValueError, match="at least two classes, got 1"):
        build("mean", classes=1)
