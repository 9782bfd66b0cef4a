"""A traced function of variables, as a pure function: their values in, their new values out.

TensorFlow lowers a function of variables only for a device that holds them. To lower one with the
TPU's own kernels, with no TPU, its variables must be arguments.
"""

from collections.abc import Callable

import tensorflow as tf

_UPDATES = {"AssignAddVariableOp": tf.add, "AssignSubVariableOp": tf.subtract}
_SKIPPED = {"Placeholder", "NoOp", "_Arg", "_Retval"}


def pure(function: tf.types.experimental.ConcreteFunction) -> tuple[Callable, list[tf.Variable]]:
    """Rewrites a straight-line function, op by op, in the order in which it was traced.

    Args:
        function: may read, assign, add to and subtract from variables, outside of loops and
            branches.

    Returns:
        A function of the tensors that `function` takes, followed by one a variable, that returns
        (the first output of `function`, the variables' new values); and those variables.
    """
    graph = function.graph
    by_handle = {id(variable.handle): variable for variable in graph.variables}
    variables = [by_handle[id(handle)] for handle in function.captured_inputs]
    num_batch = len(graph.inputs) - len(variables)

    def rewritten(*arguments: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        given = {t.ref(): a for t, a in zip(graph.inputs, arguments, strict=True)}
        values = {handle.ref(): given[handle.ref()] for handle in graph.inputs[num_batch:]}
        tensors = {tensor.ref(): given[tensor.ref()] for tensor in graph.inputs[:num_batch]}
        for operation in graph.get_operations():
            if operation.type not in _SKIPPED:
                _rewrite(operation, tensors, values)
        new_values = [values[handle.ref()] for handle in graph.inputs[num_batch:]]
        return tensors[function.outputs[0].ref()], new_values

    return rewritten, variables


def _rewrite(operation: tf.Operation, tensors: dict, values: dict) -> None:
    """Do what `operation` does; `values` holds each variable's latest, by its handle."""
    inputs = list(operation.inputs)
    handle = inputs[0].ref() if inputs and inputs[0].dtype == tf.resource else None
    if handle is None:
        made = tf.compat.v1.get_default_graph().create_op(
            operation.type,
            [tensors[tensor.ref()] for tensor in inputs],
            [tensor.dtype for tensor in operation.outputs],
            attrs=dict(operation.node_def.attr),
            name=operation.name,
        )
        outputs = zip(operation.outputs, made.outputs, strict=True)
        tensors.update({old.ref(): new for old, new in outputs})
    elif operation.type == "ReadVariableOp":
        tensors[operation.outputs[0].ref()] = tf.identity(values[handle])
    elif operation.type == "AssignVariableOp":
        values[handle] = tensors[inputs[1].ref()]
    elif operation.type in _UPDATES:
        update = _UPDATES[operation.type]
        values[handle] = update(values[handle], tensors[inputs[1].ref()])
    else:
        raise NotImplementedError(f"{operation.type} on a variable ({operation.name})")
