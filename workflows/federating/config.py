"""What a federated pretraining is asked for, by whoever runs it: one process or a server."""

from typing import Any, Literal

from pydantic import Field

from workflows.config import WorkflowConfig

FCL_ONLY = ("momentum", "entries", "drawn", "positives", "negatives")
"""Options that only FCL heeds."""


class FederationConfig(WorkflowConfig):
    """The plan that all sites follow."""

    out: str
    """Folder of the run, on this machine."""
    method: Literal["fcl", "rotnet", "simclr"] = "fcl"
    """fcl exchanges features beside weights; rotnet (FedRotation) and simclr (FedSimCLR) only
    average weights."""
    encoder: str = "unet"
    """Network: unet, or for patches any other (`microtome encoders`)."""
    init: str = "random"
    """Weights that the network begins with: random (by the seed), published, or a file; unet is
    always random."""
    width: int = Field(default=48, ge=1, le=256)
    """Channels of the first level of a unet."""
    side_px: int | None = Field(default=None, ge=16)
    """Side of the canvas that slices lie on, a multiple of 16 (by default 352), or of the network's
    input (224)."""
    rounds: int = Field(default=50, ge=1)
    """Times that weights are averaged."""
    epochs: int = Field(default=1, ge=1)
    """Passes of every site over its own patches in each round."""
    batch: int = Field(default=32, ge=2)
    """Patches of a step; never more than a site has."""
    optimizer: Literal["adamw", "adam", "lars", "sgd"] = "sgd"
    """Optimiser; it begins anew in every round."""
    lr: float = Field(default=0.1, gt=0)
    """Learning rate, which falls as half a cosine over all rounds."""
    weight_decay: float = Field(default=1e-5, ge=0)
    """Weight decay."""
    temperature: float = Field(default=0.1, gt=0)
    """Of contrastive losses."""
    features: int | None = Field(default=None, ge=1)
    """Length of what is compared; by default 512 for fcl and 128 for simclr."""
    momentum: float = Field(default=0.99, ge=0, le=1)
    """Share of its own that fcl's momentum encoder keeps in a step."""
    entries: int = Field(default=4096, ge=1)
    """Most entries of a site's bank of features, balanced over partitions."""
    drawn: int | None = Field(default=None, ge=1)
    """Entries that fcl draws of all banks in each step; by default as many as the site's own bank
    has."""
    positives: Literal["any_volume", "other_volumes"] = "any_volume"
    """Patches of the same partition at the site that attract: of all volumes, or of others only."""
    negatives: Literal["partition", "literal"] = "partition"
    """Entries that repel: of other partitions, or all that were drawn, as the equation prints."""
    quorum: int = Field(default=1, ge=1)
    """Sites whose answers a round needs."""
    seed: int = Field(default=0, ge=0)
    """Of weights, orders, augmentation and draws."""
    overwrite: bool = False
    """Replace another run that the folder holds."""

    @property
    def scheduler(self) -> None:
        """It runs in this process."""
        return

    @property
    def processes(self) -> int:
        """One."""
        return 1


def plan_document(config: FederationConfig, data: str) -> dict[str, Any]:
    """Give the document of a `models.federated.plan.Plan`.

    Args:
        config: what was asked for.
        data: volumes or patches.
    """
    from models.federated.plan import Plan

    return Plan(
        method=config.method,
        data=data,  # type: ignore[arg-type]  # Plan refuses others
        encoder=config.encoder,
        weights=config.init,
        width=config.width,
        side_px=config.side_px or (352 if data == "volumes" else 224),
        rounds=config.rounds,
        epochs=config.epochs,
        batch=config.batch,
        optimizer=config.optimizer,
        base_lr=config.lr,
        weight_decay=config.weight_decay,
        quorum=config.quorum,
        seed=config.seed,
        settings=method_settings(config),
    ).document()


def method_settings(config: FederationConfig) -> dict[str, Any]:
    """Give the settings that the method heeds."""
    if config.method == "rotnet":
        return {}
    found: dict[str, Any] = {"temperature": config.temperature}
    if config.features is not None:
        found["features"] = config.features
    if config.method == "fcl":
        found |= {name: getattr(config, name) for name in FCL_ONLY}
    return found


def without_effect(config: FederationConfig) -> list[str]:
    """Name the options that were given and that the method does not heed."""
    if config.method == "fcl":
        return []
    fields = type(config).model_fields
    given = [name for name in FCL_ONLY if getattr(config, name) != fields[name].default]
    return [f"--{name} has no effect on {config.method}" for name in given]
