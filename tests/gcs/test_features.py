"""Features on gs://: kept, shared, and computed anew where they are damaged."""

import pytest

from orchard import storage
from tests.trainer import runs as tiny
from tests.trainer.features import runs
from trainer.data import load_records
from trainer.features.backbone import load_backbone
from trainer.features.views import FeatureSource


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    return tiny.tiny_dataset(folder / "tiny" / "1.0.0"), tiny.tiny_backbone(folder / "tiny.keras")


def test_features_on_gcs_are_kept_whole_and_shared(gcs, local, tmp_path, capsys):
    import tensorflow as tf

    from trainer.runtime import Accelerator

    dataset, backbone = local
    config = runs.config(dataset, backbone, tmp_path / "run", feature_cache=gcs.path("features"))
    accelerator = Accelerator("cpu", tf.distribute.get_strategy())
    source = FeatureSource(
        config, accelerator, load_backbone(config, accelerator), config.feature_cache
    )
    records, computed = load_records(dataset, "fold0+fold1"), []

    def go_on():
        computed.append(1)
        return True

    features = source.features(records, 0, go_on)
    names = [name for name in gcs.objects("features") if name.endswith(".npz")]
    assert len(names) == len(records.files) == len(computed)
    assert (source.features(records, 0, go_on) == features).all()
    assert len(computed) == len(names)
    path = gcs.path(names[0])
    kept = storage.read_bytes(path)
    storage.write_bytes(path, kept[:-30])
    assert (source.features(records, 0, go_on) == features).all()
    assert len(computed) == len(names) + 1
    assert f"{path} is damaged" in capsys.readouterr().out
    assert storage.read_bytes(path) == kept
