"""`microtome federate client`: a hospital that takes part in a federated pretraining."""

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from workflows.config import POSITIONAL, WorkflowConfig
from workflows.errors import UsageError
from workflows.extras import needs
from workflows.federating.keys import NAME, read_private_key, require_file
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback, Update
from workflows.training.paths import absolute, location

if TYPE_CHECKING:
    from models.federated.guest import Guest
    from models.federated.site import Work

log = logging.getLogger(__name__)

ROUNDS = "rounds.jsonl"
AGAIN_S = 5.0


class FederateClientConfig(WorkflowConfig):
    """Take part in a federated pretraining with the own patches, which do not leave this machine.

    What leaves: weights of the trained model, features with their partition tags (fcl), the number
    of patches and the name of the site. Runs until the server says that it is over; may be killed
    and started again at any time.
    """

    archive: Annotated[str, POSITIONAL]
    """Path or URL of the archive of this site's slides or volumes; all of it takes part."""
    site: str
    """Name of this site, as the server has its public key: SITE.pub."""
    server: str
    """Address of the server, host:port."""
    key: str
    """File of this site's private key, as ssh-keygen writes it, without a passphrase."""
    authority: str
    """File of the certificate that signed the server's, PEM."""
    out: str
    """Folder of what this site keeps for itself: its bank of features, and what each round was."""
    split: str | None = None
    """Only slides of this split of the manifest."""
    clip: float | None = Field(default=None, gt=0)
    """Greatest length of a feature that leaves this site, to which noise is in proportion; features
    have length 1, and receive it again at the other sites, so by itself it hides nothing."""
    noise: float = Field(default=0.0, ge=0)
    """Deviation of Gaussian noise on features that leave this site, as a multiple of clip."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU that there is."""
    join_minutes: float = Field(default=60.0, gt=0)
    """To try to reach the server, at first and after it was last heard of, before giving up."""


def run(config: FederateClientConfig, progress: ProgressCallback) -> Outcome:
    """Answer orders until the run is over.

    Raises:
        UsageError: files are missing, or the server cannot be reached.
        MissingExtraError: Flower is not installed.
        DataError: there are no patches.
    """
    if config.noise and config.clip is None:
        raise UsageError("--noise is a multiple of --clip: give both")
    if not NAME.fullmatch(config.site):
        raise UsageError(f"--site {config.site!r} cannot be the name of a site")
    with needs("federated"):
        from workflows.federating.apps import client_app
        from workflows.federating.node import Address, Node
    guest, over = _guest(config, progress), _Flag()
    authority, keys = require_file("--authority", config.authority), read_private_key(config.key)
    address = Address(config.server, authority, keys)
    node = Node(client_app(guest.work, over.set), over)
    patience_s = config.join_minutes * 60
    while not over():
        try:
            node.serve(address, patience_s)
        except ConnectionError as err:
            log.warning("not let in yet, tried again: %s", err)
        if over() or time.monotonic() > node.heard + patience_s:
            break
        time.sleep(min(AGAIN_S, patience_s))
    rounds = _read_rounds(Path(config.out).expanduser() / ROUNDS)
    told = {"site": config.site, "rounds": rounds, "out": config.out, "over": over()}
    return Outcome(told, ALL_GOOD if over() else SOME_FAILED)


class _Flag:
    """Whether the server said that the run is over."""

    def __init__(self) -> None:
        self._raised = False

    def set(self) -> None:
        """Raise it."""
        self._raised = True

    def __call__(self) -> bool:
        """Tell."""
        return self._raised


def _guest(config: FederateClientConfig, progress: ProgressCallback) -> "Guest":
    with needs("models"):
        from models.federated.guest import Guest
        from models.federated.joining import Members
        from models.federated.privacy import FeaturePrivacy
        from models.mil.device import choose_device
    from tiling.store import Archive

    slides = [
        store.slide_id
        for store in Archive.open(location(config.archive)).stores()
        if config.split in (None, store.attributes["labels"]["split"])
    ]
    if not slides:
        raise UsageError(f"{config.archive} has no slides of the split {config.split!r}")
    folder = Path(absolute(config.out))
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def tell(number: int, rounds: int, work: "Work") -> None:
        line = {"round": number, "loss": work.loss, "spread": work.spread, "seconds": work.seconds}
        with (folder / ROUNDS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        elapsed = time.monotonic() - began
        progress(Update(rounds, number + 1, 0, elapsed_s=elapsed, noun="rounds"))

    members = Members(config.site, location(config.archive), tuple(slides))
    privacy = FeaturePrivacy(config.clip, config.noise)
    return Guest(members, folder, choose_device(config.device), privacy, tell)


def _read_rounds(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
