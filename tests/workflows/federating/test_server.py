"""The server that was killed after its last round, before it wrote the encoder."""

from pathlib import Path

import pytest

pytest.importorskip("flwr", reason="Flower is not installed: pip install 'microtome[federated]'")

from models.encoders import read_card
from models.federated.federation import Federation
from models.federated.simulation import ENCODER, do_round
from models.training.journal import Journal
from tests.models.federated.small import open_sites, small_plan
from workflows.federating.server import ROUND, run


def test_it_still_knows_who_took_part(volumes: Path, tmp_path: Path) -> None:
    plan, folder = small_plan(), tmp_path / "run"
    bench, sites = open_sites(volumes, plan, tmp_path / "sites")
    federation = Federation(plan, folder, bench.weights())
    with Journal(folder, 0, tensorboard=False) as journal:
        for _ in range(plan.rounds):
            report, _ = do_round(federation, sites)
            federation.commit()
            journal.write({"kind": ROUND, "step": federation.round, **report.document()})
    told = run(
        {"plan": plan.document(), "folder": str(folder), "keys": {}, "door": {}, "patience": {}},
        lambda line: None,
        lambda: False,
    )
    counts = {site.name: site.source.patches for site in sites}
    assert told["finished"]
    assert told["data"] == {"patches": sum(counts.values()), "sites": counts}
    card = read_card(folder / ENCODER)
    assert card is not None
    assert f"fcl: {sum(counts.values())} patches of 3 sites" in card.data[-1]
