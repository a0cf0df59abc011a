"""`microtome federate server`: the server of hospitals that learn together, over Flower."""

from typing import Any, Literal

from pydantic import Field

from workflows.errors import UsageError
from workflows.extras import needs
from workflows.federating.config import FederationConfig, plan_document, without_effect
from workflows.federating.keys import read_public_keys, require_file
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback
from workflows.training.folder import Kind
from workflows.training.paths import absolute
from workflows.training.running import train_into_folder

HABITS = (
    *("out", "host", "port", "certificate", "certificate_key", "authority", "keys", "sites"),
    *("join_minutes", "round_minutes", "attempts", "overwrite"),
)
"""Options that a run may be taken up again with another value of."""

KIND = Kind(
    "federated pretraining",
    "encoder.safetensors",
    HABITS,
    "workflows.federating.server:run",
    ("state-*.safetensors", "superlink.db*"),
)


class FederateServerConfig(FederationConfig):
    """Lead a federated pretraining of hospitals, each of which runs `microtome federate client`.

    Speaks Flower's own protocol over TLS, and only with sites whose public keys are known. Run the
    same command again to go on from the last committed round, also after a crash.
    """

    data: Literal["volumes", "patches"]
    """What sites have: slices of volumes of one channel, or 8-bit RGB patches."""
    certificate: str
    """File of the server's certificate, PEM, whose name or address is the one that sites use."""
    certificate_key: str
    """File of the certificate's private key, PEM."""
    authority: str
    """File of the certificate that signed it, PEM; sites have the same."""
    keys: str
    """Folder of the public keys of those who may join, SITE.pub, as ssh-keygen writes them."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all."""
    port: int = Field(default=9093, ge=1, le=65535)
    """Port to listen on."""
    sites: int | None = Field(default=None, ge=1)
    """Sites to wait for before the first round; by default all whose keys are known."""
    join_minutes: float = Field(default=60.0, gt=0)
    """To wait for them; then those that are there begin."""
    round_minutes: float = Field(default=60.0, gt=0)
    """To wait for the answers of a round; who has not answered is left out of it."""
    attempts: int = Field(default=10, ge=1)
    """At a round that too few sites answer, before the server gives up."""


def run(config: FederateServerConfig, progress: ProgressCallback) -> Outcome:
    """Lead all rounds that are left, and write the record.

    Raises:
        UsageError: files or keys are missing, or the folder holds something else.
        MissingExtraError: Flower is not installed.
        QuorumError: too few sites gave a good answer.
    """
    with needs("federated"):
        import flwr  # noqa: F401 - before any work, for the one sentence of what to install
    with needs("models"):
        job = _job(config)
    return train_into_folder(config, KIND, lambda: job, progress, notes=without_effect(config))


def _job(config: FederateServerConfig) -> dict[str, Any]:
    keys = read_public_keys(config.keys)
    if config.quorum > len(keys):
        raise UsageError(f"--quorum {config.quorum}: only {len(keys)} sites have a key")
    try:
        plan = plan_document(config, config.data)
    except ValueError as err:
        raise UsageError(str(err)) from err
    return {
        "plan": plan,
        "folder": absolute(config.out),
        "keys": {site: key.decode() for site, key in keys.items()},
        "door": {
            "host": config.host,
            "port": config.port,
            "certificate": require_file("--certificate", config.certificate),
            "key": require_file("--certificate-key", config.certificate_key),
            "authority": require_file("--authority", config.authority),
        },
        "patience": {
            "sites": config.sites or len(keys),
            "join_s": config.join_minutes * 60,
            "round_s": config.round_minutes * 60,
            "attempts": config.attempts,
        },
    }
