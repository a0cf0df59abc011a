"""What the commands about tokens share: where the service keeps them."""

import os
from importlib import import_module
from typing import Any

from workflows.config import WorkflowConfig, make_config
from workflows.extras import needs
from workflows.serve import ServeConfig, settled


class TokenConfig(WorkflowConfig):
    """Where the service keeps its tokens; by default as its environment variables say."""

    work: str = "microtome-work"
    """Folder of the service; MICROTOME_SERVE_WORK is looked at too."""
    database: str | None = None
    """URL of its database, where that is not in the folder; MICROTOME_SERVE_DATABASE too."""


def ask(command: str, config: TokenConfig, **given: Any) -> Any:
    """Call a function of the service on the place that the config names.

    Raises:
        UsageError: the service refuses it.
        MissingExtraError: the extra `service` is not installed.
    """
    named: dict[str, Any] = {
        name: getattr(config, name)
        for name in ("work", "database")
        if name in config.model_fields_set
    }
    settings = settled(make_config(ServeConfig, named), os.environ)
    with needs("service"):
        commands = import_module("service.auth.commands")
    return getattr(commands, command)(settings, **given)
