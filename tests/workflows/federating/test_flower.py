"""Two hospitals and a server, real processes over Flower on loopback."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("flwr", reason="Flower is not installed: pip install 'microtome[federated]'")

from tests.models.federated.small import make_archive
from tests.workflows.conftest import Microtome
from tests.workflows.federating.hospitals import Hospitals, make_key
from wsi.testing import SvsSpec, write_svs

SMALL = ("--width", 2, "--side-px", 16, "--batch", 8, "--features", 4)
WAIT_S = 400
"""For each process; two cores may be shared with much else."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One archive of each hospital."""
    return {
        site: make_archive(tmp_path_factory.mktemp(site), (site,), 2) for site in ("east", "west")
    }


@pytest.fixture
def hospitals(tmp_path: Path, archives: dict[str, Path]) -> Iterator[Hospitals]:
    made = Hospitals(tmp_path, list(archives))
    yield made
    made.close()


def same(one: Path, other: Path) -> bool:
    first, second = (load_file(path / "encoder.safetensors") for path in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def test_hospitals_over_flower_learn_what_the_simulation_learns(
    hospitals: Hospitals, archives: dict[str, Path], tmp_path: Path, microtome: Microtome
) -> None:
    server = hospitals.server("--data", "volumes", "--rounds", 3, *SMALL)
    clients = [hospitals.client(site, archive) for site, archive in archives.items()]
    assert server.wait(WAIT_S) == 0, hospitals.log("server")
    for process, site in zip(clients, archives, strict=True):
        assert process.wait(WAIT_S) == 0, hospitals.log(site)
        assert f"{site} took part in 3 rounds" in hospitals.log(site)
    ran = microtome(
        "federate",
        "simulate",
        *archives.values(),
        "--out",
        tmp_path / "here",
        "--rounds",
        3,
        *SMALL,
        "--device",
        "cpu",
    )
    assert ran.code == 0, ran.err
    assert same(tmp_path / "server", tmp_path / "here")


def wait_for(found: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + WAIT_S
    while not found():
        assert time.monotonic() < until, f"no {what} in {WAIT_S} s"
        time.sleep(0.05)


def test_a_killed_server_and_a_killed_client_go_on_to_the_same_weights(
    hospitals: Hospitals, archives: dict[str, Path], tmp_path: Path, microtome: Microtome
) -> None:
    words = ("--data", "volumes", "--rounds", 4, "--quorum", 2, "--round-minutes", 1.5, *SMALL)
    server = hospitals.server(*words)
    clients = {site: hospitals.client(site, archive) for site, archive in archives.items()}
    state = tmp_path / "server"
    wait_for((state / "state-1.safetensors").exists, "first round")
    server.kill()
    server.wait()
    server = hospitals.server(*words)
    wait_for((state / "state-2.safetensors").exists, "second round")
    clients["west"].kill()
    clients["west"].wait()
    clients["west"] = hospitals.client("west", archives["west"])
    assert server.wait(2 * WAIT_S) == 0, hospitals.log("server")
    for site, process in clients.items():
        assert process.wait(WAIT_S) == 0, hospitals.log(site)
    given = ("--out", tmp_path / "here", "--rounds", 4, "--quorum", 2, *SMALL, "--device", "cpu")
    ran = microtome("federate", "simulate", *archives.values(), *given)
    assert ran.code == 0, ran.err
    assert same(tmp_path / "server", tmp_path / "here")


def test_a_stranger_is_not_let_in(
    hospitals: Hospitals, archives: dict[str, Path], tmp_path: Path
) -> None:
    hospitals.server("--data", "volumes", "--rounds", 1, *SMALL)
    hospitals.keys["east"] = make_key(tmp_path / "strangers", "east")
    stranger = hospitals.client("east", archives["east"], "--join-minutes", 0.01)
    assert stranger.wait(WAIT_S) != 0
    assert "took part in 0 rounds" in hospitals.log("east")


def test_a_server_that_nobody_reaches_is_given_up(
    hospitals: Hospitals, archives: dict[str, Path]
) -> None:
    alone = hospitals.client("east", archives["east"], "--join-minutes", 0.05)
    assert alone.wait(WAIT_S) == 3
    assert "took part in 0 rounds" in hospitals.log("east")


def test_two_hospitals_walk_through_with_slides(
    hospitals: Hospitals, tmp_path: Path, microtome: Microtome
) -> None:
    """docs/federated.md, from the slides to embeddings by the encoder that both made."""
    archives = {}
    for number, site in enumerate(("east", "west")):
        archives[site] = tmp_path / f"{site}.zarr"
        slide = tmp_path / f"{site}.svs"
        stain = np.full((512, 512, 3), 244, np.uint8)  # glass
        stain[64:448, 64:448] = np.random.default_rng(number).integers(90, 200, (384, 384, 3))
        stain[64:448, 64:448, 1] //= 2  # purple
        write_svs(slide, stain, 1024, SvsSpec(seed=number))
        cut = ("--patch-size", 64, "--mpp", 0.25, "--workers", 1, "--quiet")
        ran = microtome("tile", slide, "--out", archives[site], *cut)
        assert ran.code == 0, ran.err
        ran = microtome("partition", archives[site])
        assert ran.code == 0, ran.err
        assert "zones    1 slide" in ran.out
    words = ("--data", "patches", "--rounds", 2, "--width", 2, "--side-px", 32, "--features", 4)
    server = hospitals.server(*words, "--batch", 8)
    clients = [hospitals.client(site, archive) for site, archive in archives.items()]
    assert server.wait(WAIT_S) == 0, hospitals.log("server")
    for process, site in zip(clients, archives, strict=True):
        assert process.wait(WAIT_S) == 0, hospitals.log(site)
    encoder = tmp_path / "server" / "encoder.safetensors"
    ran = microtome("embed", archives["east"], "--encoder", encoder, "--force", "--workers", 1)
    assert ran.code == 0, ran.err
