"""Stores the attention of a run's models in the archives of the slides."""

from collections.abc import Iterable

from models.mil.cohort import MilBag
from models.mil.maps import store_attention
from models.mil.predict import Prediction
from models.mil.source import pieces
from tiling.errors import ConflictError
from tiling.maps import SlideMap, map_names
from workflows.mil.trained import Trained


class AttentionWriter:
    """Writes `maps/attention-<run>`.

    Attributes:
        name: of the maps.
        written: slides that have one now.
    """

    def __init__(self, trained: Trained, *, overwrite: bool) -> None:
        self.name = map_name(trained.folder.name)
        self.written = 0
        self._overwrite = overwrite
        record = trained.record
        self._classes = tuple(trained.classes)
        self._model = {
            "run": record["name"],
            "identity": record["identity"],
            "name": record["model"]["name"],
            "encoder": record["encoder"],
            "encoder_identity": record["encoder_identity"],
            "classes": record["classes"],
            "unit": record["unit"],
            "folds": len(trained.models),
            "versions": record["versions"],
        }

    def require_free(self, bags: Iterable[MilBag]) -> None:
        """Refuse to replace maps of another run, before any work.

        Raises:
            ConflictError: there is one, and nobody said to overwrite.
        """
        if self._overwrite:
            return
        for bag in bags:
            for row in bag.slides:
                store = row.bag.store
                if self.name not in map_names(store):
                    continue
                found = SlideMap(store, self.name).attributes.get("model", {})
                if found.get("identity") != self._model["identity"]:
                    raise ConflictError(
                        f"{row.slide_id} has a map {self.name!r} of another run; rename the run's "
                        "folder, or use --overwrite"
                    )

    def write(self, bag: MilBag, found: Prediction) -> None:
        """Store the attention of every slide of a bag."""
        channels = self._classes if len(found.attention) > 1 else ("attention",)
        for row, attention in pieces(bag, found.attention):
            store_attention(row.bag, self.name, attention, channels, self._model)
            self.written += 1


def map_name(run: str) -> str:
    """Name of the maps of a run in the folder of that name."""
    return f"attention-{plain_name(run)[:100]}"


def plain_name(name: str) -> str:
    """Give a name as a map or a file may have it; other signs than letters, digits, ._+- are -."""
    return "".join(c if (c.isalnum() and c.isascii()) or c in "._+-" else "-" for c in name)
