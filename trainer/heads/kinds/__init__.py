"""The heads, one a file: each registers itself in `HEADS`."""
