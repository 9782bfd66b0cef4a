"""A traced function of variables, as a pure function: their values in, their new values out.

TensorFlow lowers a function of variables only for a device that holds them. To run it elsewhere,
or to lower it with the kernels of a device that is not there, they must be arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

_UPDATES = {"AssignAddVariableOp": tf.add, "AssignSubVariableOp": tf.subtract}
_SKIPPED = {"Placeholder", "NoOp", "_Arg", "_Retval"}
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}


@dataclass(frozen=True)
class Pure:
    """A function without variables.

    Attributes:
        function: takes what the traced one takes, then one tensor a variable; returns (the traced
            one's outputs, flat; the new values of the variables that it writes).
        variables: in the order of their arguments.
        written: those of them that it may write, by position.
    """

    function: Callable[..., tuple[list[tf.Tensor], list[tf.Tensor]]]
    variables: list[tf.Variable]
    written: tuple[int, ...]


def pure(function: tf.types.experimental.ConcreteFunction) -> Pure:
    """Rewrites a traced function, op by op, in the order in which it was traced.

    Functions that it calls are put in its place.

    Args:
        function: may read, assign, add to and subtract from variables, outside of loops and
            branches.
    """
    graph, captured = function.graph, function.captured_inputs
    by_handle = {id(variable.handle): variable for variable in graph.variables}
    handles = [tensor for tensor in captured if tensor.dtype == tf.resource]
    variables = [by_handle[id(handle)] for handle in handles]
    numbers = {id(handle): number for number, handle in enumerate(handles)}
    num_given = len(graph.inputs) - len(captured)
    # Values do not matter here, only which variables are written.
    unknown: list[int | None] = [None] * num_given
    written = tuple(sorted(_written(graph, [*unknown, *(numbers.get(id(t)) for t in captured)])))

    def rewritten(*arguments: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        values = list(arguments[num_given:])
        # What else it captured is a constant, and becomes one.
        held = [numbers[id(t)] if id(t) in numbers else tf.constant(t.numpy()) for t in captured]
        outputs = _Rewriting(values).run(graph, [*arguments[:num_given], *held])
        return outputs[: len(function.outputs)], [values[i] for i in written]

    return Pure(rewritten, variables, written)


# What stands for a tensor of the traced graph: one of the new graph, or a variable's number.
_Tensor = Any


class _Rewriting:
    """One pass over a graph; `values` holds each variable's latest."""

    def __init__(self, values: list[tf.Tensor]):
        self._values = values

    def run(self, graph: tf.Graph, arguments: list[_Tensor]) -> list[tf.Tensor]:
        """The outputs of `graph` for these arguments."""
        tensors: dict = {
            tensor.ref(): argument for tensor, argument in zip(graph.inputs, arguments, strict=True)
        }
        for operation in graph.get_operations():
            if operation.type in _SKIPPED:
                continue
            inputs = [tensors[tensor.ref()] for tensor in operation.inputs]
            made = self._rewrite(operation, inputs)
            tensors.update(
                (old.ref(), new) for old, new in zip(operation.outputs, made, strict=True)
            )
        return [tensors[tensor.ref()] for tensor in graph.outputs]

    def _rewrite(self, operation: tf.Operation, inputs: list[_Tensor]) -> list[_Tensor]:
        """Do what `operation` does."""
        if operation.type in _CALLS:
            return self.run(_called(operation), inputs)
        if not any(isinstance(one, int) for one in inputs):
            return _copy(operation, inputs)
        variable = inputs[0]
        if operation.type == "Identity":
            return inputs
        if operation.type == "ReadVariableOp":
            return [tf.identity(self._values[variable])]
        if operation.type == "AssignVariableOp":
            self._values[variable] = inputs[1]
        elif operation.type in _UPDATES:
            update = _UPDATES[operation.type]
            self._values[variable] = update(self._values[variable], inputs[1])
        else:
            raise NotImplementedError(f"{operation.type} on a variable ({operation.name})")
        return []


def _copy(operation: tf.Operation, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
    graph = tf.compat.v1.get_default_graph()
    attributes = dict(operation.node_def.attr)
    for value in attributes.values():
        for function in (value.func, *value.list.func):
            if function.name and not graph._is_function(function.name):
                graph._add_function_recursive(operation.graph._get_function(function.name))
    made = graph.create_op(
        operation.type,
        inputs,
        [tensor.dtype for tensor in operation.outputs],
        # Those with an underscore are hints for the graph that this one was in.
        attrs={name: value for name, value in attributes.items() if not name.startswith("_")},
        name=operation.name,
    )
    return list(made.outputs)


def _called(operation: tf.Operation) -> tf.Graph:
    return operation.graph._get_function(operation.node_def.attr["f"].func.name).graph


def _written(graph: tf.Graph, arguments: list[int | None]) -> set[int]:
    """Numbers of the variables that `graph` writes, given the number of each input that is one."""
    numbers: dict = {
        tensor.ref(): argument for tensor, argument in zip(graph.inputs, arguments, strict=True)
    }
    found: set[int] = set()
    for operation in graph.get_operations():
        inputs = [numbers.get(tensor.ref()) for tensor in operation.inputs]
        if operation.type in _CALLS:
            found |= _written(_called(operation), inputs)
        elif operation.type == "Identity":
            numbers[operation.outputs[0].ref()] = inputs[0]
        elif operation.type == "AssignVariableOp" or operation.type in _UPDATES:
            found |= {inputs[0]} if inputs[0] is not None else set()
    return found
