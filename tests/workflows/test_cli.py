import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflows import WORKFLOWS, cli
from workflows.config import POSITIONAL
from workflows.registry import GROUPS

HEAVY = ("distributed", "zarr", "pyarrow", "skimage", "scipy", "tiffslide", "jinja2")


def test_help_lists_every_command(microtome: Callable[..., Any]) -> None:
    ran = microtome("--help")
    assert ran.code == 0
    for name, workflow in WORKFLOWS.items():
        if " " not in name:
            assert name in ran.out
            assert workflow.sentence in ran.out


@pytest.mark.parametrize("group", GROUPS)
def test_help_of_a_group_lists_its_commands(group: str, microtome: Callable[..., Any]) -> None:
    ran = microtome(group, "--help")
    assert ran.code == 0
    for name, workflow in WORKFLOWS.items():
        if name.startswith(f"{group} "):
            assert workflow.sentence in ran.out


@pytest.mark.parametrize("name", WORKFLOWS)
def test_help_of_a_command_has_every_field(name: str, microtome: Callable[..., Any]) -> None:
    ran = microtome(*name.split(), "--help")
    assert ran.code == 0
    told = "".join(ran.out.replace("│", "").split())
    for field, known in WORKFLOWS[name].config_model.model_fields.items():
        positional = POSITIONAL in known.metadata
        option = field.upper() if positional else "--" + field.replace("_", "-")
        assert option in told
        assert "".join((known.description or "").split())[:30] in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["tile", "a.svs", "--patchsize", "3"],
            "unknown option --patchsize; did you mean --patch-s",
        ),
        (["tile", "a.svs", "--zzzz"], "unknown option --zzzz; there are: --out"),
        (["tiel"], "there is no command 'tiel'; did you mean tile?"),
        (["tile", "a.svs"], "--out is needed"),
        (["tile", "--out", "x.zarr"], "give slides or a --manifest"),
        (["tile", "a.svs", "--out"], "--out"),
        (["tile", "a.svs", "--out", "x.zarr", "--patch-size", "big"], "--patch-size"),
        (["tile", "a.svs", "--out", "x.zarr", "--tissue", "magic"], "--tissue"),
        (["tile", "nowhere.svs", "--out", "x.zarr"], "nowhere.svs: no such file"),
        (["tile", "nowhere.svs", "--out", "x.zarr", "--reader", "magic"], "openslide, tiffslide"),
        (["info"], "--slide is needed"),
        (["info", "nowhere.svs"], "nowhere.svs: no such file"),
        (["ls", "nowhere.zarr"], "no archive at nowhere.zarr"),
        (["verify", "nowhere.zarr"], "no archive at nowhere.zarr"),
        (["report", "nowhere.zarr"], "no archive at nowhere.zarr"),
        (["ls", "a", "b"], "b"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    words: list[str],
    sentence: str,
    microtome: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = microtome(*words)
    assert ran.code == 2
    assert sentence in ran.err
    assert "Traceback" not in ran.err
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_errors_are_json_too(microtome: Callable[..., Any]) -> None:
    ran = microtome("info", "nowhere.svs", "--json")
    assert ran.document == {"error": "nowhere.svs: no such file", "exit_code": 2}


def test_ctrl_c_ends_with_130_and_without_traceback(
    microtome: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workflows.version.run", interrupted)
    ran = microtome("version")
    assert (ran.code, ran.out) == (130, "")
    assert "Traceback" not in ran.err


def test_options_of_a_config_file_are_overridden_by_flags(
    microtome: Callable[..., Any], cmu_slide: Path, tmp_path: Path
) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(f'slides = ["{cmu_slide}"]\npatch_size = 240\npad_edges = true\n')
    assert microtome("plan", "--config", file, "--json").document["plans"][0]["grid"] == [10, 13]
    ran = microtome("plan", "--config", file, "--no-pad-edges", "--json")
    assert ran.document["plans"][0]["grid"] == [9, 12]


def test_an_unknown_key_of_a_config_file_is_refused(
    microtome: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "tile.toml"
    file.write_text("patchsize = 240\n")
    ran = microtome("tile", "a.svs", "--config", file)
    assert ran.code == 2
    assert "unknown key 'patchsize'" in ran.err
    assert "did you mean patch_size?" in ran.err


def _modules_after(words: list[str]) -> set[str]:
    script = (
        "import json, sys; from workflows import cli; cli.run(sys.argv[1:]); "
        "sys.stderr.write(json.dumps(sorted(m for m in sys.modules if '.' not in m)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, check=True, text=True
    )
    return set(json.loads(done.stderr))


def test_help_imports_nothing_heavy() -> None:
    assert not _modules_after(["--help"]) & {"numpy", "pydantic", "openslide", *HEAVY}


def test_info_imports_nothing_heavy(cmu_slide: Path) -> None:
    assert not _modules_after(["info", str(cmu_slide)]) & set(HEAVY)


def test_the_command_line_module_itself_imports_only_the_standard_library() -> None:
    script = "import sys; from workflows import cli; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert not {"cyclopts", "pydantic", "rich", "numpy"} & set(done.stdout.split("'"))


def test_sigterm_is_taken_as_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        cli._interrupt()


def test_a_place_without_permission_is_told_in_a_sentence(
    microtome: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/root/a.zarr")

    monkeypatch.setattr("workflows.listing.run", refuse)
    ran = microtome("ls", "/root/a.zarr")
    assert ran.code == 2
    assert ran.err == "microtome: [Errno 13] Permission denied: '/root/a.zarr'\n"


def test_an_error_of_ours_that_nobody_expected_keeps_its_traceback(
    microtome: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("workflows.listing.run", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        microtome("ls", "a.zarr")
