"""The steps of `microtome segment run`: each is a command; what is trained stays."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.config import make_config
from workflows.errors import UsageError
from workflows.extras import needs
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback
from workflows.registry import WORKFLOWS

if TYPE_CHECKING:
    from workflows.segmenting.run_config import SegmentRunConfig

Options = Mapping[str, Any]

CAM, PLAIN, GATED = "activation maps", "segmenter", "segmenter and gate"
SINGLE, SUPERVISED = "last layer alone, gate", "true masks"
WAYS = {"cam": CAM, "segmenter": PLAIN, "gated": GATED}

OURS = {
    "classify": {"archives", "out", "seed", "overwrite"},
    "train": {"archives", "out", "seed", "masks", "overwrite"},
    "evaluate": {"archives", "out", "split", "model", "classifier"},
    "supervised": {"archives", "out", "seed", "overwrite"},
    "map": {"model", "classifier"},
}
"""Options that the pipeline sets itself."""
TRUE: dict[str, Any] = {"masks": ("masks",)}


class Pipeline:
    """Runs the steps of a config.

    Args:
        config: of the command.
        progress: is told by each step in turn.

    Attributes:
        notes: what steps wanted a person to know, each once.
        models: folder of each seed's models.
        exit_code: 0, or that of a step that did not do all.
    """

    def __init__(self, config: "SegmentRunConfig", progress: ProgressCallback) -> None:
        self._config, self._progress = config, progress
        self._out = Path(config.out).expanduser().absolute()
        self.notes: list[str] = []
        self.models: dict[str, str] = {}
        self.exit_code = ALL_GOOD

    def check(self) -> None:
        """Refuse options that no step knows, before the first one runs.

        Raises:
            UsageError: an option is unknown, wrong or the run's own, or nothing can be scored.
        """
        for table, own in OURS.items():
            given = getattr(self._config, table) or {}
            if taken := sorted(own & set(given)):
                raise UsageError(f"[{table}] must not set {', '.join(taken)}: the run does")
        somewhere = {"archives": ("a",), "out": "o"}
        self._made("segment classify", somewhere, self._config.classify)
        self._made("segment train", somewhere, self._config.train)
        self._made("segment evaluate", {"archives": ("a",), "model": "m"}, self._config.evaluate)
        if self._config.supervised is not None:
            both = dict(self._config.train) | self._config.supervised
            self._made("segment train", somewhere, both)
        if self._config.map is not None:
            self._made("map", {"model": "m"}, self._config.map)
        with needs("models"):
            from workflows.segmenting.truth import with_split
        with_split(self._config.archives, self._config.test_split)
        self._require_free_names()

    def _require_free_names(self) -> None:
        """Refuse names of pseudo masks that another classifier than this run's has taken.

        Raises:
            UsageError: masks would only be refused after hours of training.
        """
        from models.segmentation.choosing import taken_by
        from models.segmentation.model import read_tissue_card

        split = self._config.classify.get("split")
        for seed in self._config.seeds:
            folder, name = self._place(seed)
            made = folder / "classify" / "classifier.safetensors"
            own = read_tissue_card(made).weights_sha256 if made.is_file() else None
            others = taken_by(self._config.archives, split, name) - {own}
            if others:
                raise UsageError(
                    f"the archives have masks {name!r} of another classifier ({', '.join(others)}) "
                    "already; choose another --name"
                )

    def _place(self, seed: int) -> tuple[Path, str]:
        """Give the folder of a seed, and the name of its pseudo masks."""
        if len(self._config.seeds) == 1:
            return self._out, self._config.name
        return self._out / f"seed-{seed}", f"{self._config.name}-{seed}"

    def run(self, seed: int) -> list[dict[str, Any]] | None:
        """Do all steps of a seed; gives a row per way of predicting, None where it was stopped."""
        folder, name = self._place(seed)
        classify, segment = folder / "classify", folder / "segment"
        if not self._train("classify", classify, seed, self._config.classify):
            return None
        masks = self._do(
            "segment pseudo-masks",
            {"archives": self._config.archives, "model": str(classify), "name": name},
            self._some(self._config.classify, ("split", "device")),
        )
        usual: dict[str, Any] = {**self._config.train, "masks": (name,)}
        if self._config.start_from_classifier:
            usual["encoder_weights"] = str(classify / "classifier.safetensors")
        if not self._train("train", segment, seed, usual):
            return None
        _link(classify / "classifier.safetensors", folder)
        _link(segment / "segmenter.safetensors", folder)
        self.models[str(seed)] = str(folder)
        rows = self._scored(seed, folder, folder / "scores", WAYS, cam=True)
        if self._config.single_layer:
            last = {"masks": (masks["arrays"][0],), "mask_weights": (1.0,)}
            single = folder / "single-layer"
            if not self._train("train", single, seed, usual | last):
                return None
            beside = {"classifier": str(classify)}
            rows += self._scored(seed, single, single / "scores", {"gated": SINGLE}, **beside)
        if self._config.supervised is None:
            return rows
        true = folder / "supervised"
        if not self._train("train", true, seed, usual | TRUE | self._config.supervised):
            return None
        ways = {"segmenter": SUPERVISED}
        return rows + self._scored(seed, true, true / "scores", ways, gate=False)

    def map(self) -> dict[str, Any] | None:
        """Map slides by the first seed's models, where it is asked for; gives the document."""
        if self._config.map is None:
            return None
        model = self.models[str(self._config.seeds[0])]
        given = {"model": model, "scheduler": self._config.scheduler}
        return self._do("map", given, self._config.map)

    def _train(self, step: str, folder: Path, seed: int, options: Options) -> bool:
        """Train; gives whether it came to its end."""
        given = {
            "archives": self._config.archives,
            "out": str(folder),
            "seed": seed,
            "scheduler": self._config.scheduler,
        }
        document = self._do(f"segment {step}", given, options)
        return bool(document["finished"])

    def _scored(
        self, seed: int, model: Path, out: Path, ways: Mapping[str, str], **options: Any
    ) -> list[dict[str, Any]]:
        """Score a model on the test split; gives a row per way."""
        given = {"archives": self._config.archives, "model": str(model), "out": str(out)}
        own = {"split": self._config.test_split, **options}
        document = self._do("segment evaluate", given | own, self._config.evaluate)
        return [
            {"seed": seed, "way": told, "classes": document["classes"], **document["scores"][way]}
            for way, told in ways.items()
            if way in document["scores"]
        ]

    def _do(self, name: str, given: Options, options: Options) -> dict[str, Any]:
        workflow = WORKFLOWS[name]
        outcome: Outcome = workflow.run(self._made(name, given, options), self._progress)
        told = [note for note in outcome.document.get("notes", ()) if note not in self.notes]
        self.notes += told
        if outcome.exit_code == SOME_FAILED:
            self.exit_code = SOME_FAILED
            self.notes.append(f"microtome {name} did not do all; its record says what")
        return outcome.document

    def _made(self, name: str, given: Options, options: Options) -> Any:
        return make_config(WORKFLOWS[name].config_model, {**given, **options})

    def _some(self, options: Options, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: options[name] for name in names if name in options}


def _link(file: Path, folder: Path) -> None:
    """Put a model beside the other one, where `--model FOLDER` finds both."""
    target = folder / file.name
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file, target)
