"""The checks of `doctor`: each says what it found, and what to do where that is not good."""

from workflows.checks.check import Check

__all__ = ["Check"]
