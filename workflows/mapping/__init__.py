"""Tissue maps as files that other programs open: pictures, polygons, pyramids, areas."""
