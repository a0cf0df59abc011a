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
        view: function of `workflows.views` that draws the outcome's document.
        silent: `--quiet` also leaves out the outcome, unless something failed.
    """

    module: str
    model: str
    sentence: str
    view: str
    silent: bool = False

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
        "tile",
        silent=True,
    ),
    "plan": Workflow(
        "workflows.plan", "PlanConfig", "Say what `tile` would do, without cutting.", "plan"
    ),
    "info": Workflow(
        "workflows.info", "InfoConfig", "Show what a slide is: levels, mpp, native tiles.", "info"
    ),
    "ls": Workflow("workflows.listing", "ListConfig", "List the slides of an archive.", "listing"),
    "verify": Workflow(
        "workflows.verify", "VerifyConfig", "Read every stored byte again and check it.", "verify"
    ),
    "report": Workflow(
        "workflows.report", "ReportConfig", "Write an HTML page about an archive.", "report"
    ),
    "doctor": Workflow(
        "workflows.doctor", "DoctorConfig", "Check this machine and this installation.", "doctor"
    ),
    "version": Workflow(
        "workflows.version", "VersionConfig", "Show the versions that matter.", "version"
    ),
}
