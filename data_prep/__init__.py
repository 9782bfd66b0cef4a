"""A label CSV and a folder of JPEGs to a sharded TFRecord dataset that TFDS reads."""
