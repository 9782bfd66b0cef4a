"""Names what a TPU cannot run in a TensorFlow graph, and where it comes from, before lowering.

XLA's own complaint names the first such op alone, and lets some shapes pass that depend on data.
"""

import functools
import os
import sysconfig
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.framework import kernels

_HOST_CALLBACKS = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "Print", "PrintV2"}
# They stand for arguments and have no kernels of their own in XLA.
_ARGUMENTS = {"Placeholder", "PlaceholderWithDefault", "_Arg", "_Retval"}
# XLA computes it while it compiles, of shapes that are then known; gradients of attention have it.
_WHILE_COMPILING = {"BroadcastGradientArgs"}
_SITE_PACKAGES = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


def problems(function: tf.types.experimental.ConcreteFunction, platform: str) -> list[str]:
    """One line for each op of `function` that has no place on a TPU, inner functions included.

    It is named with its layer, or the scope it was made in, and the line of our code.

    Args:
        function: what is to run there.
        platform: whose kernels count: "TPU" where TensorFlow has them, else "CPU".
    """
    _register_xla_kernels(platform)
    found = []
    for operation in _operations(function.graph):
        reason = _reason(operation, platform)
        if reason:
            found.append(f"{operation.type} {reason}: {_origin(operation)}")
    return list(dict.fromkeys(found))


def _reason(operation: tf.Operation, platform: str) -> str:
    if operation.type in _ARGUMENTS:
        return ""
    if operation.type in _HOST_CALLBACKS:
        return "calls back to the host"
    if not _has_xla_kernel(operation.type, platform):
        return "cannot be compiled by XLA"
    if _makes_dynamic_shape(operation):
        return "gives a shape that depends on the data"
    return ""


@functools.cache
def _has_xla_kernel(op_type: str, platform: str) -> bool:
    registered = kernels.get_registered_kernels_for_op(op_type).kernel
    return any(kernel.device_type == f"XLA_{platform}_JIT" for kernel in registered)


def _register_xla_kernels(platform: str) -> None:
    # They enter TensorFlow's registry with the first lowering.
    nothing = tf.function(lambda: tf.zeros([]), jit_compile=True)
    nothing.experimental_get_compiler_ir()(stage="hlo", platform_name=platform)


def _makes_dynamic_shape(operation: tf.Operation) -> bool:
    """Whether a dynamic shape begins here rather than further up."""
    if operation.type in _WHILE_COMPILING:
        return False
    static = all(tensor.shape.is_fully_defined() for tensor in operation.inputs)
    return static and not all(t.shape.is_fully_defined() for t in operation.outputs)


def _operations(graph: tf.Graph, seen: set[str] | None = None) -> Iterator[tf.Operation]:
    seen = set() if seen is None else seen
    for operation in graph.get_operations():
        yield operation
        for name in _functions_of(operation):
            if name not in seen:
                seen.add(name)
                yield from _operations(graph._get_function(name).graph, seen)


def _functions_of(operation: tf.Operation) -> list[str]:
    names = []
    for attribute in operation.node_def.attr.values():
        if attribute.HasField("func"):
            names.append(attribute.func.name)
        names += [function.name for function in attribute.list.func]
    return names


def _origin(operation: tf.Operation) -> str:
    scope = operation.name.rpartition("/")[0]
    frames = [frame for frame in operation.traceback or () if _is_ours(frame.filename)]
    line = ""
    if frames:
        line = f"{os.path.relpath(frames[-1].filename)}:{frames[-1].lineno}"
    parts = [f"in {scope}" if scope else "", f"from {line}" if line else ""]
    return " ".join(part for part in parts if part) or f"node {operation.name}"


def _is_ours(filename: str) -> bool:
    library = filename.startswith(_SITE_PACKAGES) or "<" in filename
    return not library and os.path.basename(filename) not in ("step.py", "lowering.py")
