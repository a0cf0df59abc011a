"""DISTL: a student learns from its moving average and from a few labels, round after round."""
