"""`microtome encoders`, as it is called."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import timm

from workflows.encoders import EncodersConfig, run

Run = Callable[..., Any]


def document(**given: Any) -> dict[str, Any]:
    outcome = run(EncodersConfig(**given), lambda _: None)
    assert outcome.exit_code == 0
    return outcome.document


def test_the_table_is_listed_without_the_names_of_timm() -> None:
    found = document()
    rows = {row["name"]: row for row in found["encoders"]}
    assert "timm" not in found
    row = rows["ctranspath-swin-tiny"]
    assert (row["dim"], row["input_px"], row["aliases"]) == (768, 224, ["ctranspath"])
    assert (rows["uni_v1"]["mpp"], rows["uni_v1"]["gated"]) == (0.5, True)


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; from workflows.encoders import EncodersConfig, run;"
        "run(EncodersConfig(), print); print({'torch', 'timm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_part_of_a_name_finds_encoders_and_networks_of_timm() -> None:
    found = document(find="Swin_tiny")
    assert found["encoders"] == []
    names = [row["name"] for row in found["timm"]]
    assert names == timm.list_models("*swin_tiny*")
    row = next(row for row in found["timm"] if row["name"] == "swin_tiny_patch4_window7_224")
    assert row["input_px"] == 224
    assert row["tags"][0] == timm.get_pretrained_cfg(row["name"]).tag


def test_an_alias_is_found() -> None:
    assert [row["name"] for row in document(find="h-optimus")["encoders"]] == [
        "hoptimus0",
        "hoptimus1",
    ]


def test_the_table_that_is_shown(microtome: Run) -> None:
    out = microtome("encoders").out
    line = next(line for line in out.splitlines() if line.startswith("virchow "))
    assert line.split()[1:4] == ["2,560", "224", "0.5"]
    assert "Apache-2.0, gated" in line
    assert "--find TEXT" in out
    assert len(out.splitlines()) < 40


def test_many_networks_are_cut_short(microtome: Run) -> None:
    out = microtome("encoders", "--find", "vit").out
    assert "more networks; --json lists all" in out
    assert len(out.splitlines()) < 110


def test_nothing_found_is_said(microtome: Run) -> None:
    assert "no encoder has 'qqq' in its name" in microtome("encoders", "--find", "qqq").out


def test_json_is_one_object(microtome: Run) -> None:
    found = microtome("encoders", "--json").document
    assert {row["name"] for row in found["encoders"]} >= {"resnet50", "gigapath", "lunit-vits8"}
