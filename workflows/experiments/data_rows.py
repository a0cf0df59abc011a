"""The rows of the data-efficiency table, in the order of the paper's.

T. Lenz, O. El Nahhas, M. Ligero, J. Kather, Reducing self-supervised learning complexity improves
weakly-supervised classification performance in computational pathology, 2024, arXiv 2403.04558.
That its table has rows 1 own MoCo v3 baseline, 2 CTransPath, 3 to 5 reduced data, 6 to 10
intermediate stages, 11 to 13 sampling variants is known from a review only (METHODS 4.1); which
shares and stages they are is our choice (METHODS 2.3, 2.6).
"""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from workflows.experiments.data_config import DataEfficiencyConfig
from workflows.experiments.words import percent
from workflows.pretraining.config import MethodName

Kind = Literal["baseline", "published", "data", "layer", "strategy"]
KINDS: tuple[Kind, ...] = ("baseline", "published", "data", "layer", "strategy")

PUBLISHED = "ctranspath"


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        number: from 1.
        kind: what it varies.
        method: of pretraining; empty for published weights.
        fraction: of the pretraining data.
        layer: that is judged.
        weights: file of published weights.
    """

    number: int
    kind: Kind
    method: MethodName | None
    fraction: float
    layer: str
    weights: str | None = None

    @property
    def slug(self) -> str:
        """Names its cells; another row of the same settings would have the same results."""
        if self.method is None:
            file = PurePath(self.weights or "").stem
            return f"{PUBLISHED}-{file}" if file else PUBLISHED
        layer = "" if self.layer == "last" else f"-{self.layer}"
        return f"{self.method}-{self.fraction}{layer}"

    @property
    def words(self) -> str:
        """Say what it is."""
        if self.method is None:
            return "CTransPath, published"
        told = {
            "data": f"{self.method}, {percent(self.fraction)} of the data",
            "layer": f"{self.method}, {self.layer}",
            "baseline": f"{self.method} (baseline)",
        }
        return told.get(self.kind, self.method)


def rows_of(config: DataEfficiencyConfig) -> list[Row]:
    """Give the rows, 13 by default."""
    base = config.baseline
    settings: list[tuple[Kind, MethodName | None, float, str, str | None]] = [
        ("baseline", base, 1.0, "last", None),
        ("published", None, 1.0, "last", config.ctranspath),
        *(("data", base, share, "last", None) for share in config.fractions),
        *(("layer", base, 1.0, layer, None) for layer in config.layers),
        *(("strategy", name, 1.0, "last", None) for name in config.strategies),
    ]
    return [Row(number, *setting) for number, setting in enumerate(settings, 1)]
