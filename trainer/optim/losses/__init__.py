"""The losses, one a file: each registers itself in `LOSSES`."""
