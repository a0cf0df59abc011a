"""One training loop for every method: steps, schedules, resuming, guards. Knows no method."""
