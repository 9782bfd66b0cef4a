"""A label CSV, or a folder of images a class, to a TFRecord dataset.

    python -m data_prep.main --csv=train.csv --images_dir=images --name=plants --version=1.0.0
    --data_dir=DIR

Run again with the same flags it goes on where it stopped, and changes nothing once it has finished.
"""

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

from data_prep.config import PrepConfig
from data_prep.pipeline import prepare
from orchard import cli, flags

OPTIONS = (PrepConfig,)


def main() -> None:
    """Prepare the dataset of the flags."""
    prepare(flags.build(PrepConfig))


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
