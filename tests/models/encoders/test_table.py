"""The table: every row names a network that exists and has the vectors that it promises."""

import json
from typing import Any

import pytest
import timm
import torch

from models.encoders import Known, known_encoders
from models.encoders.choice import choose_tap, output_dim
from models.encoders.networks import build_empty
from models.encoders.table import find_known

ROWS = known_encoders()

MILLIONS = {
    "resnet50": 23.5,
    "uni_v1": 303,
    "uni_v2": 681,
    "virchow": 631,
    "virchow2": 631,
    "gigapath": 1135,
    "hoptimus0": 1135,
    "hoptimus1": 1135,
    "kaiko-vitl14": 303,
}
"""Parameters as the encoders' pages state them."""


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_row_builds_its_network_with_the_dim_that_it_says(row: Known) -> None:
    network = build_empty(row.architecture, row.options)
    assert network is not None
    tap = choose_tap(network, "last", usual=row.usual)
    assert output_dim(network, tap, row.input_px) == row.dim
    if row.name in MILLIONS:
        millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        assert millions == pytest.approx(MILLIONS[row.name], rel=0.01)


def test_names_and_aliases_are_different() -> None:
    names = [name.lower() for row in ROWS for name in row.names]
    assert len(names) == len(set(names))


def test_rows_are_found_by_name_alias_and_hub_name() -> None:
    for asked in ("uni_v1", "UNI", "hf-hub:MahmoodLab/UNI", "MahmoodLab/uni"):
        found = find_known(asked)
        assert found is not None
        assert found.name == "uni_v1"
    assert find_known("resnet18") is None


def test_options_are_json_values_and_gated_rows_have_a_page() -> None:
    for row in ROWS:
        assert json.loads(json.dumps(dict(row.options))) == dict(row.options)
        assert row.licence
        assert row.page.startswith("https://")


def test_weights_of_timm_are_there() -> None:
    for row in ROWS:
        if row.weights and row.weights.startswith("timm:"):
            assert timm.is_model_pretrained(row.weights.removeprefix("timm:"))


def test_virchow_joins_class_token_and_mean_of_the_patches() -> None:
    row = find_known("virchow2")
    assert row is not None
    network: Any = build_empty(row.architecture, row.options)
    assert network.num_prefix_tokens == 5  # class token and four registers, as its page says
    tokens = torch.randn(1, 5 + 256, 1280)
    network.forward_features = lambda _: tokens
    network.fc_norm = torch.nn.Identity()
    found = choose_tap(network, "last", usual=row.usual)(network, torch.zeros(1, 3, 224, 224))
    assert torch.equal(found, torch.cat([tokens[:, 0], tokens[:, 5:].mean(dim=1)], dim=1))
