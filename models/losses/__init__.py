"""Losses of self-supervised learning: pure functions of tensors, with no device or rank inside."""
