"""What can go wrong before or around a workflow; slides and archives have errors of their own."""


class WorkflowError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(WorkflowError, ValueError):
    """What was asked for makes no sense: an option, a config file, a place. The caller's fault."""


class MissingExtraError(WorkflowError, ImportError):
    """A library of an extra is not installed; the message says what to install."""


class TrainingError(WorkflowError, RuntimeError):
    """Training failed in another process; the message ends with the last lines that it wrote."""
