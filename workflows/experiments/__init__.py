"""The parts of `microtome experiment`: cells that are kept one by one, pooled scores, tables."""
