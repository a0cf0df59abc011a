"""The parts of `microtome distill`: its config, its rounds, their scores and the page."""
