"""The label sources that come with us: one file each, chosen by `--layout`."""
