"""TPU, GPUs, CPU: what is found and what is refused; no TPU is here."""

import dataclasses
import json

import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from trainer.config import TrainConfig
from trainer.runtime import accelerator, place_in_cluster

CONFIG = TrainConfig(
    dataset="gs://bucket/plants/1.0.0",
    run_dir="gs://bucket/runs/b0",
    architecture="efficientnet_b0",
    batch_size=32,
)


@pytest.fixture(autouse=True)
def _no_tpu_in_the_environment(monkeypatch):
    for name in ("TPU_NAME", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_ACCELERATOR_TYPE"):
        monkeypatch.delenv(name, raising=False)


def _config(**kwargs):
    return dataclasses.replace(CONFIG, **kwargs)


def test_connect_tpu_that_is_absent_is_one_line_with_the_reason():
    with pytest.raises(OrchardError, match="TPU 'local' cannot be used") as raised:
        accelerator.connect(_config(accelerator="tpu"))
    assert "\n" not in str(raised.value)
    assert "tensorflow-tpu is the only TensorFlow installed" in str(raised.value)


def test_connect_workers_without_the_gpus_asked_for_are_refused(monkeypatch):
    cluster = {"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(OrchardError, match="--accelerator=gpu: TensorFlow sees no GPU here"):
        accelerator.connect(_config(accelerator="gpu"))


_CHIEF, _WORKERS = ["h0:1"], ["h1:1", "h2:1"]


def _tf_config(cluster, kind, index):
    # As Vertex AI sets it.
    task = {"type": kind, "index": index}
    return json.dumps({"cluster": cluster, "environment": "cloud", "task": task, "job": "{}"})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", None),
        ("{}", None),
        (_tf_config({"chief": _CHIEF}, "chief", 0), None),
        (_tf_config({"worker": _CHIEF}, "worker", 0), None),
        (_tf_config({"worker": _WORKERS}, "worker", 1), (2, 1)),
        (_tf_config({"chief": _CHIEF, "worker": _WORKERS}, "chief", 0), (3, 0)),
        (_tf_config({"chief": _CHIEF, "worker": _WORKERS}, "worker", 1), (3, 2)),
    ],
)
def test_place_in_cluster_of_any_tf_config_is_the_one_that_it_names(text, place, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    found = place_in_cluster()
    assert (found and (found.num_hosts, found.host)) == place
    assert found is None or found.addresses[0] == "h0:1" or found.addresses == ("h1:1", "h2:1")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        _tf_config({"chief": _CHIEF, "ps": _WORKERS}, "chief", 0),
        _tf_config({"chief": _CHIEF, "worker": _WORKERS}, "worker", 2),
        _tf_config({"chief": _WORKERS}, "chief", 0),
        json.dumps({"cluster": {"worker": _WORKERS}}),
    ],
)
def test_connect_tf_config_that_names_no_place_is_refused_in_one_line(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(OrchardError, match="TF_CONFIG must read") as raised:
        accelerator.connect(_config(accelerator="cpu"))
    assert "\n" not in str(raised.value)


def test_connect_auto_with_a_tpu_name_connects_to_it():
    with pytest.raises(OrchardError, match="TPU 'no-such-tpu' cannot be used"):
        accelerator.connect(_config(tpu="no-such-tpu"))


def test_connect_auto_on_a_tpu_vm_uses_the_tpu(monkeypatch):
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    with pytest.raises(OrchardError, match="TPU 'local' cannot be used"):
        accelerator.connect(CONFIG)
    # What the user says goes before what the environment says.
    assert accelerator.connect(_config(accelerator="cpu")).kind == "cpu"


def test_connect_replicas_of_a_tpu_in_the_environment_are_refused(monkeypatch):
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    with pytest.raises(OrchardError, match="--replicas does not apply to a TPU"):
        accelerator.connect(_config(replicas=4))


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"run_dir": "runs/b0"}, "--run_dir=runs/b0: a TPU of 4 hosts needs it on gs://"),
        ({"dataset": "data/plants/1.0.0"}, "--dataset=data/plants/1.0.0"),
        ({"reader": "local"}, "--reader=local"),
        ({"cache": "ram"}, "--cache"),
        ({"cache_dir": "/mnt/ssd"}, "--cache_dir"),
    ],
)
def test_check_pod_what_its_hosts_cannot_reach_is_refused(flags, complaint):
    config = _config(**flags)
    paths = {"run_dir": config.run_dir, "dataset": config.dataset}
    strategy = tf.distribute.get_strategy()
    with pytest.raises(OrchardError, match=complaint):
        accelerator.check_pod(accelerator.Accelerator("tpu", strategy, pod_hosts=4), paths, config)
    accelerator.check_pod(accelerator.Accelerator("tpu", strategy), paths, config)


def test_precision_policy_default_on_a_tpu_is_mixed_bfloat16():
    assert accelerator.precision_policy(CONFIG, "tpu") == "mixed_bfloat16"
    assert accelerator.precision_policy(CONFIG, "cpu") == "float32"
    assert accelerator.precision_policy(_config(precision="float32"), "tpu") == "float32"


@pytest.mark.parametrize(
    ("capability", "policy"),
    [((7, 5), "float32"), ((8, 0), "mixed_bfloat16"), ((12, 0), "mixed_bfloat16")],
)
def test_precision_policy_default_on_gpus_is_what_they_multiply_natively(capability, policy):
    assert accelerator.precision_policy(CONFIG, "gpu", capability) == policy
    # A CPU's default does not change, whatever GPU is beside it.
    assert accelerator.precision_policy(CONFIG, "cpu", capability) == "float32"


def test_compute_capability_without_gpus_is_none_under_both_runtimes(devices):
    from trainer.xla import data_mesh

    default = tf.distribute.get_strategy()
    for mesh in (None, data_mesh(devices[:2])):
        # Called a GPU, so that the runtime is asked.
        found = accelerator.Accelerator("gpu", default, mesh=mesh)
        assert found.compute_capability == (0, 0)
