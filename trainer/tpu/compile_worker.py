"""The second process of preflight: one program, compiled by libtpu for TPUs that are not there.

    python -m trainer.tpu.compile_worker REQUEST.json

REQUEST names the program (`trainer.xla.Program`), the topology, the cache folder and the file for
the result: what the compiler counted, or why it refused (`trainer.tpu.compiler.Compiled`). libtpu
and TensorFlow cannot share a process, so nothing here imports TensorFlow.
"""

import hashlib
import importlib.metadata
import os
import re
import sys
import time
from collections import Counter
from typing import Any

from orchard import storage
from orchard.parallel import die_with_parent
from trainer.tpu.compiler import FITS, TOO_LARGE, UNSUPPORTED, Effort
from trainer.xla import Program

# For libtpu, before jax is imported: look for no TPU and ask no metadata server.
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_MIN_LOG_LEVEL": "3",
}

_EXCEEDED = re.compile(r"\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)")
_USED_OF = re.compile(r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

# Of an asynchronous operation the start is counted; its end has the result's shape.
_COLLECTIVE = re.compile(
    r" = (?P<shapes>.+?) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|"
    r"collective-permute|collective-broadcast)(?P<part>-start|-done)?\("
)
_SHAPE = re.compile(r"\b(pred|[a-z]+(\d+)[a-z0-9]*)\[([\d,]*)\]")


def main(request_path: str) -> None:
    """Answer the request; a program compiled before is answered from the cache."""
    request = storage.read_json(request_path)
    die_with_parent(request["parent_pid"])
    os.environ.update(_ENVIRONMENT)
    import jax
    from jax.experimental import topologies

    from trainer.xla import Spmd, data_mesh, enable_all_dtypes

    enable_all_dtypes()
    with open(request["program"], "rb") as file:
        program = Program.from_bytes(file.read())
    topology = topologies.get_topology_desc(
        platform="tpu",
        topology_name=request["topology"],
        chip_config_name=request["chip_config"],
        **request["topology_options"],
    )
    devices: Any = topology.devices
    lowered = Spmd(program, data_mesh(devices)).lower("tpu")
    target = [request["topology"], request["chip_config"]]
    if request["effort"] == Effort.QUICK:
        jax.config.update("jax_optimization_level", "O0")
        target.append(request["effort"])
    key = program_key(lowered.as_text(), *target)
    cached = os.path.join(request["cache_dir"], f"{key}.json")
    if storage.exists(cached):
        result = {**storage.read_json(cached), "cached": True}
    else:
        result = {
            "schema_version": 1,
            "topology": request["topology"],
            "libtpu_version": importlib.metadata.version("libtpu"),
            "num_hosts": len({one.process_index for one in devices}),
            **_compile(lowered),
        }
        storage.write_json(cached, result)
    storage.write_json(request["result"], {**result, "key": key})


def program_key(text: str, *target: str) -> str:
    """Hash of the program without names that differ from run to run, of its target and libtpu."""
    # TensorFlow numbers its functions by how many the process has traced; operations refer to
    # functions by order.
    order: dict[str, str] = {}
    text = re.sub(r'@"[^"]*"|@[\w.$-]+', lambda m: order.setdefault(m[0], f"@f{len(order)}"), text)
    parts = (text, *target, importlib.metadata.version("libtpu"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _compile(lowered: Any) -> dict:
    from jax.errors import JaxRuntimeError

    started = time.monotonic()
    try:
        found = _counts(lowered.compile())
    except JaxRuntimeError as error:
        found = refusal(str(error))
    return {**found, "compile_seconds": round(time.monotonic() - started, 1)}


def refusal(message: str) -> dict:
    """Why libtpu refused, from its own words."""
    found = _EXCEEDED.search(message) or _USED_OF.search(message)
    if found and "RESOURCE_EXHAUSTED" in message:
        needed = int(float(found[1]) * _UNITS[found[2]])
        available = int(float(found[3]) * _UNITS[found[4]])
        return {"verdict": TOO_LARGE, "needed_bytes": needed, "available_bytes": available}
    return {"verdict": UNSUPPORTED, "message": message.splitlines()[0][:500]}


def _counts(compiled: Any) -> dict:
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    return {
        "verdict": FITS,
        "peak_bytes": memory.peak_memory_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
        "alias_bytes": memory.alias_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "program_bytes": memory.generated_code_size_in_bytes,
        # The compiler leaves out what it counts nothing of.
        "flops": cost.get("flops", 0.0),
        "bytes_accessed": cost.get("bytes accessed", 0.0),
        "collectives": collectives(compiled.as_text()),
    }


def collectives(text: str) -> dict[str, dict[str, int]]:
    """Count and bytes of results of what passes between devices, by kind, in a compiled program."""
    count: Counter[str] = Counter()
    result_bytes: Counter[str] = Counter()
    for found in _COLLECTIVE.finditer(text):
        if found["part"] != "-done":
            count[found["kind"]] += 1
        if found["part"] != "-start":
            result_bytes[found["kind"]] += sum(_bytes(*s) for s in _SHAPE.findall(found["shapes"]))
    return {kind: {"count": count[kind], "result_bytes": result_bytes[kind]} for kind in count}


def _bytes(dtype: str, bits: str, shape: str) -> int:
    size = 1 if dtype == "pred" else int(bits) // 8
    for length in filter(None, shape.split(",")):
        size *= int(length)
    return size


if __name__ == "__main__":
    main(sys.argv[1])
