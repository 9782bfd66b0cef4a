"""What the environment says of other machines: TF_CONFIG, and the variables of TPU VMs."""

import os
from dataclasses import dataclass

from orchard import json_text
from orchard.errors import OrchardError


@dataclass(frozen=True)
class Place:
    """One worker of several.

    Attributes:
        addresses: host:port of all workers, the chief's first.
        host: which of them this process is.
    """

    addresses: tuple[str, ...]
    host: int

    @property
    def num_hosts(self) -> int:
        """Workers."""
        return len(self.addresses)


def place_in_cluster() -> Place | None:
    """The worker that TF_CONFIG says this is; None where it is alone.

    With a `chief`, as Vertex AI sets it, that is the first of the workers. Without a cluster, and
    with one of one machine, nothing needs to be connected either.
    """
    try:
        tf_config = json_text.loads(os.environ.get("TF_CONFIG") or "{}")
        cluster = tf_config.get("cluster") or {}
        if not cluster:
            return None
        chiefs, workers = cluster.get("chief", []), cluster.get("worker", [])
        addresses = (*chiefs, *workers)
        task = tf_config["task"]
        host = int(task["index"]) + (len(chiefs) if task["type"] == "worker" else 0)
        if task["type"] not in ("chief", "worker") or cluster.keys() - {"chief", "worker"}:
            raise ValueError("there are tasks other than chief and worker")
        if len(chiefs) > 1 or not 0 <= host < len(addresses):
            raise ValueError("task must be one of the cluster's, with one chief at most")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OrchardError(
            'TF_CONFIG must read {"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
            f'"worker", "index": 0}}}}, with or without a "chief"; it does not ({error})'
        ) from None
    return Place(addresses, host) if len(addresses) > 1 else None


def tpu_in_environment() -> bool:
    """Whether this is a TPU VM, as far as its environment tells."""
    # What TPU VMs (also Kaggle's and Colab's) set; TPU_NAME is Cloud TPU's.
    names = ("TPU_NAME", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_ACCELERATOR_TYPE")
    return any(os.environ.get(name) for name in names)
