"""What every request passes: limits of size and rate, headers, compression."""
