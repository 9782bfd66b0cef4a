"""What one image costs: the multiplications and additions of a network's forward pass.

Counted are convolutions, dense layers and attention, in the graph that TensorFlow traced, two
operations a multiply-add: twice the "multiply-adds" that papers and keras.io give. What is left
out (activations, BatchNorm, pooling) is about 1 % of a convolutional network.

TensorFlow's own profiler (`tf.compat.v1.profiler`) is not used: it counts nothing of what Keras
calls as a function of its own (grouped convolutions) or as an Einsum (attention).
"""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import tensorflow as tf

from trainer.keras_module import keras

if TYPE_CHECKING:
    from tensorflow.core.framework.function_pb2 import FunctionDef
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef
    from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto

_Shape = tuple[int, ...]
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


class _NotCounted(Exception):
    """An operation whose cost is not known from its shapes."""


def forward_flops(network: keras.Model) -> int | None:
    """Floating-point operations of one image's way through a network.

    Args:
        network: with an input of known height and width.

    Returns:
        None where a layer cannot be counted, such as one that loops.
    """
    image = tf.TensorSpec([1, *network.input_shape[1:]], tf.float32)
    forward = tf.function(lambda images: network(images, training=False), autograph=False)
    return graph_flops(forward.get_concrete_function(image).graph.as_graph_def(add_shapes=True))


def graph_flops(graph: "GraphDef") -> int | None:
    """Floating-point operations of a graph and the functions that it calls, as `forward_flops`.

    Args:
        graph: made with `add_shapes`.
    """
    functions = {one.signature.name: one for one in graph.library.function}
    try:
        return 2 * _multiply_adds(graph.node, {}, functions)
    except _NotCounted:
        return None


def _multiply_adds(
    nodes: Iterable["NodeDef"],
    arguments: Mapping[str, _Shape],
    functions: Mapping[str, "FunctionDef"],
) -> int:
    """Of the nodes of a graph or function.

    Args:
        nodes: what it is made of.
        arguments: a function's inputs by name, and their shapes.
        functions: that may be called, by name.
    """
    shapes = {node.name: [_shape(one) for one in _output_shapes(node)] for node in nodes}
    shapes |= {name: [shape] for name, shape in arguments.items()}
    total = 0
    for node in nodes:
        inputs = [_input_shape(name, shapes) for name in node.input if not name.startswith("^")]
        if node.op in _CALLS:
            function = functions[node.attr["f"].func.name]
            names = [argument.name for argument in function.signature.input_arg]
            total += _multiply_adds(
                function.node_def, dict(zip(names, inputs, strict=True)), functions
            )
        else:
            total += _of_node(node, inputs, shapes[node.name])
    return total


def _of_node(node: "NodeDef", inputs: list[_Shape], outputs: list[_Shape]) -> int:
    op, attributes = node.op, node.attr
    if op == "Conv2D":  # The kernel: height, width, input channels of a group, output channels.
        return _size(outputs[0]) * _size(inputs[1][:3])
    if op == "DepthwiseConv2dNative":
        return _size(outputs[0]) * _size(inputs[1][:2])
    if op == "MatMul":
        return _size(outputs[0]) * inputs[0][-2 if attributes["transpose_a"].b else -1]
    if op in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        return _size(outputs[0]) * inputs[0][-2 if attributes["adj_x"].b else -1]
    if op == "Einsum":
        return _size(outputs[0]) * _contracted(attributes["equation"].s.decode(), inputs)
    if any(part in op for part in ("Conv2D", "Conv3D", "XlaConv", "MatMul", "While", "If", "Case")):
        raise _NotCounted(op)
    return 0


def _contracted(equation: str, inputs: list[_Shape]) -> int:
    """Multiply-adds for each output of an Einsum: the sizes of the axes that are summed over."""
    if len(inputs) < 2:  # It sums up or changes the order.
        return 0
    terms, _, result = equation.replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms.split(","), inputs, strict=True):
        left, _, right = term.partition("...")
        sizes |= dict(zip(left, shape, strict=False))
        sizes |= dict(zip(reversed(right), reversed(shape), strict=False))
    return math.prod(size for axis, size in sizes.items() if axis not in result)


def _output_shapes(node: "NodeDef") -> Iterable["TensorShapeProto"]:
    return node.attr["_output_shapes"].list.shape


def _shape(proto: "TensorShapeProto") -> _Shape:
    return tuple(axis.size for axis in proto.dim)


def _input_shape(name: str, shapes: Mapping[str, list[_Shape]]) -> _Shape:
    """Of a node's input: "node", "node:1" in a graph, "node:output:0" in a function."""
    node, *output = name.split(":")
    of_node, at = shapes[node], int(output[-1]) if output else 0
    return of_node[at] if at < len(of_node) else ()


def _size(shape: _Shape) -> int:
    """How many numbers there are; an axis of unknown length is -1."""
    if min(shape, default=1) < 0:
        raise _NotCounted(shape)
    return math.prod(shape)
