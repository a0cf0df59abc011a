"""Tissue maps from patch labels: classifiers, class activation maps, segmenters (METHODS 10)."""
