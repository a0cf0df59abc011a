"""The config of `microtome experiment federated`."""

from typing import Literal

from pydantic import Field, field_validator

from workflows.config import WorkflowConfig

Start = Literal["random", "local", "rotnet", "simclr", "fcl"]
Mode = Literal["local", "federated"]

NAMES: dict[str, str] = {
    "random": "Random init",
    "local": "Local CL",
    "rotnet": "FedRotation",
    "simclr": "FedSimCLR",
    "fcl": "FCL",
}
"""As the paper names them."""


class FederatedConfig(WorkflowConfig):
    """Compare ways to pretrain a U-Net over sites, by Dice after fine-tuning on few patients.

    Every seed is a fold: at every site a fifth of the volumes tests, the others are pretrained on,
    and the first N of them are annotated. Run the same command again to go on where it was stopped
    or killed. The file is TOML or JSON; every option below may stand in it.
    """

    archive: str
    """Path or URL of an archive of volumes with label maps, whose clients are the sites."""
    out: str
    """Folder of the experiment, on this machine."""
    starts: tuple[Start, ...] = ("random", "local", "rotnet", "simclr", "fcl")
    """What fine-tuning begins with: random weights, FCL of each site alone, FedRotation, FedSimCLR
    or FCL."""
    modes: tuple[Mode, ...] = ("local", "federated")
    """Fine-tuning of every site on its own annotated volumes, or of all together."""
    annotated: tuple[int, ...] = (1, 2, 4, 8)
    """N, annotated volumes of every site, each part of the next larger number."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each a whole repetition: another fold, other first weights, orders and augmentation."""
    folds: int = Field(default=5, ge=2)
    """Parts that the volumes of a site are cut into; one of them tests."""
    side_px: int = Field(default=352, ge=16, multiple_of=16)
    """Side of the canvas that slices lie on."""
    width: int = Field(default=48, ge=1)
    """Channels of the U-Net's first level."""
    rounds: int = Field(default=50, ge=1)
    """Rounds of pretraining."""
    epochs: int = Field(default=1, ge=1)
    """Passes of every site in each round of pretraining."""
    batch: int = Field(default=32, ge=2)
    """Slices of a step of pretraining."""
    lr: float = Field(default=0.1, gt=0)
    """Learning rate of pretraining."""
    temperature: float = Field(default=0.1, gt=0)
    """Of contrastive losses."""
    features: int = Field(default=512, ge=1)
    """Length of the features that FCL compares and exchanges."""
    tune_steps: int = Field(default=1000, ge=1)
    """Steps of fine-tuning at every site, whatever N is."""
    tune_rounds: int = Field(default=10, ge=1)
    """Rounds of federated fine-tuning, which share the steps."""
    tune_batch: int = Field(default=10, ge=1)
    """Slices of a step of fine-tuning."""
    tune_lr: float = Field(default=5e-5, gt=0)
    """Learning rate of fine-tuning, which falls to a tenth."""
    tune_loss: Literal["ce", "dice-ce"] = "ce"
    """Cross-entropy, or that and soft Dice: for few steps where most pixels are background."""
    tune_bent: bool = True
    """Mirror, bend and turn annotated slices as in pretraining; off for few steps on slices that
    all lie alike."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU that there is."""
    overwrite: bool = False
    """Replace another experiment that the folder holds."""

    @field_validator("seeds", "annotated")
    @classmethod
    def _counted(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if not values or min(values) < 0:
            raise ValueError("give at least one number, none below 0")
        return tuple(dict.fromkeys(values))
