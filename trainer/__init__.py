"""Train one image classifier at a time from TFRecord shards, on TPUs, GPUs or CPUs."""
