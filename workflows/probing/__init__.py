"""The parts of `microtome probe`: what is trained, and the files of a run."""
