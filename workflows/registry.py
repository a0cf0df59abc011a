"""The table of workflows. Another one is one more entry; its module is imported when it runs."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from workflows.outcome import Outcome

if TYPE_CHECKING:
    from workflows.config import WorkflowConfig
    from workflows.progress import ProgressCallback


@dataclass(frozen=True, slots=True)
class Workflow:
    """Where a workflow is.

    Attributes:
        module: has `run(config, progress) -> Outcome` and the config model.
        model: name of the config model in the module.
        sentence: what it does, for the list of commands.
        view: `module.function` of `workflows.views` that draws the outcome's document.
        silent: `--quiet` also leaves out the outcome, unless something failed.
        by_file: the command's first word is the config file, as if `--config` were before it.
    """

    module: str
    model: str
    sentence: str
    view: str
    silent: bool = False
    by_file: bool = False

    @property
    def config_model(self) -> "type[WorkflowConfig]":
        """The pydantic model, the only place of the workflow's parameters."""
        found: type[WorkflowConfig] = getattr(import_module(self.module), self.model)
        return found

    def schema(self) -> dict[str, Any]:
        """JSON schema of the config."""
        return self.config_model.model_json_schema()

    def run(self, config: "WorkflowConfig", progress: "ProgressCallback") -> Outcome:
        """Run it to the end."""
        outcome: Outcome = import_module(self.module).run(config, progress)
        return outcome


WORKFLOWS: dict[str, Workflow] = {
    "tile": Workflow(
        "workflows.tile",
        "TileConfig",
        "Cut slides into an archive of patches.",
        "archive.tile",
        silent=True,
    ),
    "plan": Workflow(
        "workflows.plan", "PlanConfig", "Say what `tile` would do, without cutting.", "archive.plan"
    ),
    "info": Workflow(
        "workflows.info",
        "InfoConfig",
        "Show what a slide is: levels, mpp, native tiles.",
        "archive.info",
    ),
    "ls": Workflow(
        "workflows.listing", "ListConfig", "List the slides of an archive.", "archive.listing"
    ),
    "verify": Workflow(
        "workflows.verify",
        "VerifyConfig",
        "Read every stored byte again and check it.",
        "archive.verify",
    ),
    "report": Workflow(
        "workflows.report", "ReportConfig", "Write an HTML page about an archive.", "archive.report"
    ),
    "doctor": Workflow(
        "workflows.doctor",
        "DoctorConfig",
        "Check this machine and this installation.",
        "archive.doctor",
    ),
    "version": Workflow(
        "workflows.version", "VersionConfig", "Show the versions that matter.", "archive.version"
    ),
    "import patches": Workflow(
        "workflows.import_patches",
        "ImportPatchesConfig",
        "Bring ready-made patches into an archive.",
        "imports.imported",
    ),
    "import volumes": Workflow(
        "workflows.import_volumes",
        "ImportVolumesConfig",
        "Bring NIfTI volumes in, slices as patches.",
        "imports.imported",
    ),
    "import bags": Workflow(
        "workflows.import_bags",
        "ImportBagsConfig",
        "Bring embeddings from another tool's files.",
        "export.imported",
    ),
    "partition": Workflow(
        "workflows.partition",
        "PartitionConfig",
        "Say where patches lie: zones of tissue, or sections.",
        "federating.partition",
    ),
    "encoders": Workflow(
        "workflows.encoders", "EncodersConfig", "List encoders.", "encoders.encoders"
    ),
    "embed": Workflow(
        "workflows.embed",
        "EmbedConfig",
        "Store an encoder's embeddings of every patch.",
        "embedding.embed",
    ),
    "export": Workflow(
        "workflows.export",
        "ExportConfig",
        "Write embeddings in the format of another tool.",
        "export.export",
    ),
    "mil train": Workflow(
        "workflows.mil_train", "MilTrainConfig", "Train slide classifiers on bags.", "mil.train"
    ),
    "mil evaluate": Workflow(
        "workflows.mil_evaluate",
        "MilEvaluateConfig",
        "Score trained slide classifiers on other bags.",
        "mil.evaluate",
    ),
    "mil predict": Workflow(
        "workflows.mil_predict",
        "MilPredictConfig",
        "Predict slides; store attention as maps.",
        "mil.predict",
    ),
    "map": Workflow(
        "workflows.map",
        "MapConfig",
        "Map the tissue of whole slides.",
        "mapping.mapped",
    ),
    "segment classify": Workflow(
        "workflows.segment_classify",
        "SegmentClassifyConfig",
        "Train a classifier of the tissues of patches.",
        "segment_training.classify",
    ),
    "segment pseudo-masks": Workflow(
        "workflows.segment_pseudo_masks",
        "SegmentPseudoMasksConfig",
        "Make masks from labels and a classifier.",
        "segment_training.pseudo_masks",
    ),
    "segment train": Workflow(
        "workflows.segment_train",
        "SegmentTrainConfig",
        "Train a segmenter on masks.",
        "segment_training.train",
    ),
    "segment run": Workflow(
        "workflows.segment_run",
        "SegmentRunConfig",
        "Do all of these as a file says, and map slides.",
        "segment_training.run",
        by_file=True,
    ),
    "segment evaluate": Workflow(
        "workflows.segment_evaluate",
        "SegmentEvaluateConfig",
        "Score tissue models on patches with true masks.",
        "segmenting.evaluate",
    ),
    "pretrain": Workflow(
        "workflows.pretrain",
        "PretrainConfig",
        "Train an encoder on patches, without labels.",
        "pretrain.pretrain",
    ),
    "distill": Workflow(
        "workflows.distill",
        "DistillConfig",
        "Train a classifier from few labels and many patches without.",
        "distill.distill",
    ),
    "probe": Workflow(
        "workflows.probe",
        "ProbeConfig",
        "Judge encoders on patch labels: kNN, linear, fine-tuned.",
        "probe.probe",
    ),
    "experiment label-efficiency": Workflow(
        "workflows.experiment_label_efficiency",
        "LabelEfficiencyConfig",
        "Methods by shares of labels: what pretraining saves.",
        "experiments.label_efficiency",
        by_file=True,
    ),
    "experiment data-efficiency": Workflow(
        "workflows.experiment_data_efficiency",
        "DataEfficiencyConfig",
        "Less data, other layers, other sampling: 13 rows.",
        "experiments.data_efficiency",
        by_file=True,
    ),
    "experiment distillation": Workflow(
        "workflows.experiment_distillation",
        "DistillationConfig",
        "Rounds of distillation, full labels, and ablations.",
        "experiments.distillation",
        by_file=True,
    ),
    "experiment federated": Workflow(
        "workflows.experiment_federated",
        "FederatedConfig",
        "Pretraining over sites, by Dice on few annotations.",
        "federating.experiment",
        by_file=True,
    ),
    "federate simulate": Workflow(
        "workflows.federate_simulate",
        "FederateSimulateConfig",
        "Pretrain over several sites, all in this process.",
        "federating.simulated",
    ),
    "federate server": Workflow(
        "workflows.federate_server",
        "FederateServerConfig",
        "Lead hospitals that pretrain together.",
        "federating.simulated",
    ),
    "federate client": Workflow(
        "workflows.federate_client",
        "FederateClientConfig",
        "Take part in it with the own patches.",
        "federating.took_part",
    ),
    "serve": Workflow(
        "workflows.serve",
        "ServeConfig",
        "Serve slides, maps, embeddings and jobs, with a viewer.",
        "tokens.served",
    ),
    "token create": Workflow(
        "workflows.token_create",
        "TokenCreateConfig",
        "Make a token of the service.",
        "tokens.created",
    ),
    "token list": Workflow(
        "workflows.token_list", "TokenListConfig", "List the service's tokens.", "tokens.listing"
    ),
    "token revoke": Workflow(
        "workflows.token_revoke", "TokenRevokeConfig", "Revoke a token.", "tokens.revoked"
    ),
}

GROUPS = {
    "experiment": "Comparisons of many trainings, from one file each: tables, plots, a report.",
    "federate": "Hospitals that learn together: features and weights travel, pixels do not.",
    "import": "Bring data from elsewhere into an archive: patches, volumes, bags.",
    "segment": "Tissue from patch labels: train, score.",
    "mil": "Multiple-instance learning on bags of embeddings: train, evaluate, predict.",
    "token": "Tokens of the service: create, list, revoke.",
}
"""Commands that only hold others; their workflows have a name of two words."""
