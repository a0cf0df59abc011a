"""The parts of `microtome pretrain`: its config, what it hands to training, its record."""
