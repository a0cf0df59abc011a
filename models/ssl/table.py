"""The table of methods: how each is built, and how it is trained unless told otherwise. No torch.

Another method is one more file and one more entry. Defaults are the columns called ours in
METHODS 3 to 7, with their marks there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from models.errors import DataError
from models.ssl.settings import MethodSettings
from models.training.settings import TrainSettings

if TYPE_CHECKING:
    from models.encoders.encoder import Encoder
    from models.training.method import Method

SlideUse = Literal["pool", "rule"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A method's own settings.

    Attributes:
        built_by: module and class, imported when asked for.
        preset: of `models.augment`.
        method: settings of the method.
        training: of optimisation.
        encoder: name of its usual encoder.
        init: random weights, or those that are published for the encoder.
        preset_options: further options of the preset.
        takes_d4: vertical flips and quarter turns may be added to the preset (our choice); never
            where turns are what is learned.
        needs_labels: classes of patches.
        slides_by: the field of `MethodSettings` that says how slides count, if any does.
    """

    built_by: tuple[str, str]
    preset: str
    method: MethodSettings
    training: TrainSettings
    encoder: str
    init: Literal["random", "published"]
    preset_options: Mapping[str, Any] = field(default_factory=dict)
    takes_d4: bool = False
    needs_labels: bool = False
    slides_by: SlideUse | None = None

    def make(
        self, encoder: "Encoder", settings: MethodSettings, *, classes: int, seed: int
    ) -> "Method":
        """Build the method around an encoder; the same seed gives the same heads.

        Args:
            encoder: is trained in place.
            settings: `method`, or changed from that.
            classes: of the labels; only methods that need labels look at it.
            seed: of the weights of heads.
        """
        module, kind = self.built_by
        options: dict[str, Any] = {"classes": classes} if self.needs_labels else {}
        found: Method = getattr(import_module(module), kind)(
            encoder, settings, seed=seed, **options
        )
        return found


_ADAM = TrainSettings(
    epochs=100,
    batch=64,
    optimizer="adam",
    base_lr=3e-4,
    scale_lr=False,
    weight_decay=0.0,
    constant_lr=True,
)
"""The breast study's: epochs and rate (source), the rest our choice (METHODS 6, 7)."""


def _turns(preset: str, settings: MethodSettings) -> Recipe:
    """Give a recipe of METHODS 6."""
    return Recipe(
        ("models.ssl.rotnet", "RotNet"), preset, settings, _ADAM, "resnet50", init="published"
    )


def _twin(module: str, kind: str, slides_by: SlideUse | None = None) -> Recipe:
    """Give a recipe on the core of MoCo v3 (METHODS 3, ours for `ctranspath-swin-tiny`)."""
    training = TrainSettings(
        epochs=50, batch=1024, base_lr=1.5e-4, weight_decay=0.1, warmup_epochs=7
    )
    return Recipe(
        (f"models.ssl.{module}", kind),
        "moco-v3",
        MethodSettings(),
        training,
        "ctranspath-swin-tiny",
        init="random",
        takes_d4=True,
        slides_by=slides_by,
    )


_SIMCLR = Recipe(
    ("models.ssl.simclr", "SimClr"),
    "simclr",
    MethodSettings(temperature=0.1, features=128),
    # "LARS or AdamW" in METHODS 5; LARS, as the encoder is a ResNet, with Google's rate (source)
    TrainSettings(
        epochs=100,
        batch=512,
        optimizer="lars",
        base_lr=0.3,
        weight_decay=1e-4,
        warmup_epochs=10,
    ),
    "resnet50",
    init="published",
    takes_d4=True,
)

METHODS: dict[str, Recipe] = {
    "supervised": Recipe(
        ("models.ssl.supervised", "Supervised"),
        "supervised",
        MethodSettings(),
        replace(_ADAM, base_lr=1e-4),
        "resnet50",
        init="published",
        needs_labels=True,
    ),
    "rotnet": _turns("rotation", MethodSettings()),
    "rotnet-jitter": _turns("rotation-jitter", MethodSettings(jitter=0.5)),
    "simclr": _SIMCLR,
    "mocov3": _twin("mocov3", "MoCoV3"),
    "ops": _twin("mocov3", "MoCoV3"),
    "srcl": _twin("srcl", "Srcl", "pool"),
    "nsam": _twin("nsam", "NSam", "rule"),
    "ds": _twin("ds", "Ds", "pool"),
}

BREAST_STUDY = replace(
    _SIMCLR,
    method=MethodSettings(temperature=0.07, features=128, simclr_head="plain"),
    training=replace(_ADAM, batch=256, weight_decay=1e-4),
)
"""SimCLR as in METHODS 5, ours for the breast study, whose other methods are the table's."""


def check_sampler(
    recipe: Recipe, settings: MethodSettings, sampler: str, *, per_slide: int, slides: int
) -> None:
    """Refuse a sampler whose batches cannot hold what a method looks for (METHODS 4.3).

    A queue holds patches of other batches, so with one only the number of slides counts.

    Args:
        recipe: of the method.
        settings: of the method.
        sampler: shuffle, balanced, k-per-slide or one-slide.
        per_slide: k of k-per-slide.
        slides: of the data.

    Raises:
        DataError: the message says which sampler to use.
    """
    if recipe.slides_by is None:
        return
    use = getattr(settings, recipe.slides_by)
    removes = recipe.slides_by == "rule" and use == "same_slide"
    mixes = sampler != "one-slide" or settings.queue > 0
    if (use == "other_slides" or removes) and (slides < 2 or not mixes):
        raise DataError(
            f"{recipe.slides_by} {use} needs batches of several slides, got the sampler {sampler} "
            f"on {slides:,} slides; use shuffle, balanced or k-per-slide, and more slides"
        )
    alone = sampler != "one-slide" and (sampler != "k-per-slide" or per_slide < 2)
    if use == "same_slide" and not removes and alone and slides > 1 and not settings.queue:
        raise DataError(
            f"{recipe.slides_by} same_slide needs batches with several patches per slide, got the "
            f"sampler {sampler}; use k-per-slide with at least 2, or one-slide"
        )
