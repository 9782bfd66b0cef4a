"""CSV and images to predictions, in Python: python examples/python_api.py [OUTPUT_DIR]."""

import sys

from data_prep import PrepConfig, prepare
from ensemble import EnsembleConfig, SavedPredictor, run
from trainer import TrainConfig, train_and_evaluate

DATA = "examples/fashion_mnist"


def main(out: str, epochs: float = 5) -> None:
    """Prepare a dataset, train two networks on it, combine them, and predict an image."""
    dataset = prepare(
        PrepConfig(
            csv=f"{DATA}/train.csv",
            test_csv=f"{DATA}/test.csv",
            images_dir=f"{DATA}/images",
            name="fashion",
            version="1.0.0",
            data_dir=f"{out}/data",
            eval_fraction=0.1,
        )
    )
    networks = ("vgg_small", "resnet9")
    for network in networks:
        train_and_evaluate(
            TrainConfig(
                dataset=dataset,
                run_dir=f"{out}/{network}",
                architecture=network,
                weights="none",
                image_size="28",
                batch_size=64,
                epochs=epochs,
            )
        )
    members = tuple(f"{out}/{network}" for network in networks)
    result = run(EnsembleConfig(members=members, dataset=dataset, output_dir=f"{out}/ensemble"))
    print(f"{len(result.probabilities)} predictions in {out}/ensemble/predictions.csv")

    predictor = SavedPredictor(f"{out}/ensemble")
    probabilities = predictor.predict([f"{DATA}/images/test_0000.jpg"])
    print(f"test_0000.jpg: {predictor.class_names[probabilities[0].argmax()]}")


if __name__ == "__main__":  # The worker processes import this file, too.
    main(*sys.argv[1:2] or ["python_api_output"])
