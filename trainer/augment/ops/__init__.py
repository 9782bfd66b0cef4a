"""The augmentations, one a file: each registers itself in `AUGMENTATIONS`."""
