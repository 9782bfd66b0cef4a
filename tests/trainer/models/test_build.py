import numpy as np

from trainer.models.build import BACKBONE_LAYER, LOGITS_LAYER, NetworkOptions, build_network


def test_network_has_a_backbone_a_dropout_and_a_float32_head(tiny_backbone):
    network = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="auto", dropout=0.5))
    assert [layer.name for layer in network.layers] == [
        "images",
        BACKBONE_LAYER,
        "head_dropout",
        LOGITS_LAYER,
    ]
    assert network(np.zeros((2, 16, 16, 3), np.uint8)).dtype == "float32"
