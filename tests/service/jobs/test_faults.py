"""kill -9 of everything, at any moment: each job ends once, with the bytes of a quiet run."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.service.jobs.harness import Api, Cluster, api, cluster, job_processes
from tests.service.postgres import (
    Server,
    postgres,  # noqa: F401 - a fixture
)
from tests.tiling.faults.harness import assert_same
from wsi.synthetic import SvsSpec, write_svs

KILLS = 20
VICTIMS = ("api", "child", "scheduler", "worker")

TILE = {
    "slides": ["slides/one.svs", "slides/two.svs"],
    "mpp": 0.5,
    "patch_size": 160,
    "stride": 80,
    "min_tissue": 0.0,
    "encoding": "lossless",
    "pictures": 1,
}
EMBED = {"encoder": "test_resnet", "weights": "random:0", "precision": "float32"}


@dataclass
class World:
    """Two API processes on one PostgreSQL, and a cluster."""

    work: Path
    apis: list[Api]
    dask: Cluster
    seconds: float = 0.0

    def run(self, name: str) -> dict[str, str]:
        """Submit a `tile` job, and an `embed` job on a copy of the reference."""
        shutil.copytree(self.archive("tiled"), self.archive(f"{name}-e"))
        first, second = self.apis
        return {
            f"{name}-t": first.submit("tile", TILE | {"out": f"{name}-t.zarr"}, f"{name}-t"),
            f"{name}-e": second.submit("embed", EMBED | {"archive": f"{name}-e.zarr"}, f"{name}-e"),
        }

    def archive(self, name: str) -> Path:
        return self.work / "archives" / f"{name}.zarr"

    def kill(self, victim: str, chance: random.Random) -> None:
        if victim == "api":
            chance.choice(self.apis).kill()
        elif victim == "scheduler":
            self.dask.scheduler.kill()
        elif victim == "worker":
            chance.choice(self.dask.workers).kill()
        else:
            for pid in job_processes()[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def world(
    postgres: Server,  # noqa: F811 - the fixture
    tmp_path_factory: pytest.TempPathFactory,
    cmu_slide: Path,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    slides, work = folder / "slides", folder / "work"
    slides.mkdir()
    for name, side, seed in (("one", 640, 1), ("two", 480, 2)):
        spec = SvsSpec(mpp=0.5, seed=seed, with_associated=False)
        write_svs(slides / f"{name}.svs", cmu_slide, side, spec)
    with ExitStack() as stack:
        dask = stack.enter_context(cluster(folder))
        settings: dict[str, Any] = {
            "work": str(work),
            "slides": str(slides),
            "database": postgres.new_database(),
            "scheduler": dask.address,
            "jobs": 1,
        }
        apis = [stack.enter_context(api(settings, folder / f"api-{n}.log")) for n in range(2)]
        made = World(work, apis, dask)
        for name, workflow, config in (
            ("tiled", "tile", TILE | {"out": "tiled.zarr"}),
            ("embedded", "embed", EMBED | {"archive": "embedded.zarr"}),
        ):
            job = apis[0].wait(apis[0].submit(workflow, config, name))
            assert job["state"] == "succeeded", job
            if name == "tiled":
                shutil.copytree(made.archive("tiled"), made.archive("embedded"))
        begun = time.monotonic()  # now that all is in memory
        for job_id in made.run("timed").values():
            assert apis[0].wait(job_id)["state"] == "succeeded"
        made.seconds = time.monotonic() - begun
        yield made


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", range(KILLS))
def test_jobs_survive_a_kill(number: int, world: World) -> None:
    chance = random.Random(number)
    name = f"round-{number}"
    jobs = world.run(name)
    time.sleep(chance.random() * world.seconds)
    world.kill(VICTIMS[number % len(VICTIMS)], chance)
    for known, job_id in jobs.items():
        job = world.apis[0].wait(job_id)
        said = world.apis[0].log_of(job_id)
        assert job["state"] == "succeeded", (job, said)
        assert [text for text in said if text.startswith(("succeeded", "failed", "canc"))] == [
            "succeeded"
        ]
        reference = "tiled" if known.endswith("-t") else "embedded"
        assert_same(world.archive(known), world.archive(reference))
        shutil.rmtree(world.archive(known))
