"""Routes of slides."""
