"""What a person runs: a frozen config and a function for each workflow, and the command line."""

from workflows.outcome import Outcome
from workflows.registry import WORKFLOWS, Workflow

__all__ = ["WORKFLOWS", "Outcome", "Workflow"]
