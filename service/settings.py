"""Settings of the service from the environment: one variable per field of `ServeConfig`."""

import os
from collections.abc import Mapping

from workflows.serve import ServeConfig, from_environment


def read_settings(environ: Mapping[str, str] | None = None) -> ServeConfig:
    """Read `MICROTOME_SERVE_<FIELD>`, lists as JSON; what is not set has its default.

    Raises:
        UsageError: a value makes no sense; the sentence names it.
    """
    return from_environment(os.environ if environ is None else environ)
