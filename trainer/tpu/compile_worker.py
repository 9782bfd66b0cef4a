"""The second process of preflight: one StableHLO program, compiled by libtpu for a TPU.

    python -m trainer.tpu.compile_worker REQUEST.json

REQUEST names the program (serialized StableHLO), the topology, the cache folder and the file for
the result: what the compiler counted, or why it refused (`trainer.tpu.compiler.Compiled`). libtpu
and TensorFlow cannot share a process, so nothing here imports TensorFlow. libtpu is reached through
private modules of jax and jaxlib, which is why the extra [preflight] pins exact versions.
"""

import hashlib
import importlib.metadata
import os
import re
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from orchard import storage
from orchard.parallel import die_with_parent

if TYPE_CHECKING:
    from jaxlib.mlir import ir

# For libtpu, before jax is imported: look for no TPU and ask no metadata server.
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_MIN_LOG_LEVEL": "3",
}

# Ops that no device can run by itself, and ops whose result has no static shape.
_HOST_OPS = {"stablehlo.infeed", "stablehlo.outfeed", "stablehlo.send", "stablehlo.recv"}
_DYNAMIC_OPS = {
    "stablehlo.set_dimension_size",
    "stablehlo.get_dimension_size",
    "stablehlo.dynamic_reshape",
    "stablehlo.dynamic_broadcast_in_dim",
    "stablehlo.dynamic_pad",
    "stablehlo.dynamic_conv",
    "stablehlo.dynamic_gather",
    "stablehlo.dynamic_iota",
    "stablehlo.real_dynamic_slice",
}
_HOST_CALL = re.compile(r"callback|host|Infeed|Outfeed")

_EXCEEDED = re.compile(r"\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)")
_USED_OF = re.compile(r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def main(request_path: str) -> None:
    """Answer the request; a program compiled before is answered from the cache."""
    request = storage.read_json(request_path)
    die_with_parent(request["parent_pid"])
    os.environ.update(_ENVIRONMENT)
    from jax._src.interpreters import mlir
    from jaxlib.mlir import ir

    with mlir.make_ir_context():
        with open(request["program"], "rb") as file:
            module = ir.Module.parse(file.read())
        problems = canonicalize(module)
        key = program_key(module, request["topology"], request["chip_config"])
        cached = os.path.join(request["cache_dir"], f"{key}.json")
        if storage.exists(cached):
            result = {**storage.read_json(cached), "cached": True}
        else:
            result = _compile(module, request, problems)
            storage.write_json(cached, result)
    storage.write_json(request["result"], {**result, "key": key})


def canonicalize(module: "ir.Module") -> list[str]:
    """Drop what libtpu does not know and names that differ from run to run; return problems.

    TensorFlow puts `mhlo.copy` (a layout hint) around its variables, and numbers its functions by
    how many the process has traced.
    """
    problems, copies = set(), []
    for operation in _operations(module.operation):
        name = operation.name
        if name == "mhlo.copy":
            copies.append(operation)
        elif name in _HOST_OPS:
            problems.add(f"{name}: a transfer from or to the host")
        elif name in _DYNAMIC_OPS:
            problems.add(f"{name}: a shape that depends on the data")
        elif name == "stablehlo.custom_call":
            target = str(operation.attributes["call_target_name"]).strip('"')
            if _HOST_CALL.search(target):
                problems.add(f"custom call {target}: a callback to the host")
    for copy in copies:
        copy.results[0].replace_all_uses_with(copy.operands[0])
        copy.erase()
    return sorted(problems)


def program_key(module: "ir.Module", topology: str, chip_config: str) -> str:
    """Hash of the program without names and positions, of the target and the compiler."""
    text = str(module.operation.get_asm(enable_debug_info=False))
    # The module and its functions carry counters; operations refer to functions by order.
    order: dict[str, str] = {}
    text = re.sub(r'@"[^"]*"|@[\w.$-]+', lambda m: order.setdefault(m[0], f"@f{len(order)}"), text)
    parts = (text, topology, chip_config, importlib.metadata.version("libtpu"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _operations(operation: "ir.Operation") -> Iterator["ir.Operation"]:
    for region in operation.regions:
        for block in region.blocks:
            for child in block.operations:
                yield child.operation
                yield from _operations(child.operation)


def _compile(module: "ir.Module", request: dict, problems: list[str]) -> dict:
    from jax.experimental import topologies
    from jaxlib import _jax

    started = time.monotonic()
    topology = topologies.get_topology_desc(
        platform="tpu",
        topology_name=request["topology"],
        chip_config_name=request["chip_config"],
        **request["topology_options"],
    )
    result = {
        "schema_version": 1,
        "topology": request["topology"],
        "problems": problems,
        "libtpu_version": importlib.metadata.version("libtpu"),
        "num_hosts": len({one.process_index for one in cast(Any, topology.devices)}),
    }
    device: Any = topology.devices[0]
    try:
        executable = device.client.compile(
            module, _jax.DeviceList((device,)), _jax.CompileOptions()
        )
    except _jax.JaxRuntimeError as error:
        result |= refusal(str(error))
    else:
        result |= _counts(executable)
    return {**result, "compile_seconds": round(time.monotonic() - started, 1)}


def refusal(message: str) -> dict:
    """Why libtpu refused, from its own words."""
    found = _EXCEEDED.search(message) or _USED_OF.search(message)
    if found and "RESOURCE_EXHAUSTED" in message:
        needed = int(float(found[1]) * _UNITS[found[2]])
        available = int(float(found[3]) * _UNITS[found[4]])
        return {"verdict": "too_large", "needed_bytes": needed, "available_bytes": available}
    return {"verdict": "unsupported", "message": message.splitlines()[0][:500]}


def _counts(executable: Any) -> dict:
    memory = executable.get_compiled_memory_stats()
    cost = executable.cost_analysis()
    return {
        "verdict": "fits",
        "peak_bytes": memory.peak_memory_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
        "alias_bytes": memory.alias_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "program_bytes": memory.generated_code_size_in_bytes,
        # The compiler leaves out what it counts nothing of.
        "flops": cost.get("flops", 0.0),
        "bytes_accessed": cost.get("bytes accessed", 0.0),
    }


if __name__ == "__main__":
    main(sys.argv[1])
