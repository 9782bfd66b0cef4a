r"""What an ensemble makes of its networks' logits, one part after the other.

    python -m benchmarks.ensemble_quality --parts=greedy --autogluon_python=VENV/bin/python
    apt install dataset-fashion-mnist
    python -m benchmarks.ensemble_quality --output_dir=/tmp/worth --parts=cascade,conformal \
        --backbones=efficientnet_lite0.keras,efficientnet_lite1.keras,efficientnet_lite2.keras

`greedy` and `soup` train networks of their own; all others take those of `benchmarks.worth`, which
are trained first where they are not finished there (hours on two cores; --pools=digits_900:
minutes).
"""

from absl import app, flags

from benchmarks.ensemble_quality.parts import PARTS

_PARTS = flags.DEFINE_list("parts", ["greedy"], f"Of {', '.join(PARTS)}.")


def main(argv: list[str]) -> None:
    """Print the tables of all parts that are wanted."""
    del argv
    for name in _PARTS.value:
        PARTS[name]()


if __name__ == "__main__":
    app.run(main)
