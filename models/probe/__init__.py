"""Judge an encoder by what simple classifiers learn from its embeddings of labelled patches.

Nearest neighbours, a linear classifier, fine-tuning, and the health of the embeddings themselves
(METHODS 2.7). Reads archives; writes nothing.
"""

from models.probe.cases import Cases, read_cases
from models.probe.features import Features, read_features
from models.probe.finetune import FinetuneSettings, finetune
from models.probe.health import Health, measure_health
from models.probe.judge import METRICS, compare, judge
from models.probe.knn import knn_scores
from models.probe.linear import LinearFit, LinearSettings, fit_linear, usual_rate
from models.probe.split import Split, choose_split, label_fraction
from models.probe.tuned import Tuned
from models.probe.weights import LinearProbe, ProbeCard, pack_probe, unpack_probe

__all__ = [
    "METRICS",
    "Cases",
    "Features",
    "FinetuneSettings",
    "Health",
    "LinearFit",
    "LinearProbe",
    "LinearSettings",
    "ProbeCard",
    "Split",
    "Tuned",
    "choose_split",
    "compare",
    "finetune",
    "fit_linear",
    "judge",
    "knn_scores",
    "label_fraction",
    "measure_health",
    "pack_probe",
    "read_cases",
    "read_features",
    "unpack_probe",
    "usual_rate",
]
