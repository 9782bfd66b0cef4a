"""Functions that TensorFlow traces as they are written.

AutoGraph rewrites the source of each function that is traced, and of each that it calls, so that
`if` and `for` may stand for `tf.cond` and `tf.while_loop`. For code that writes these itself that
is a third of what the start of a small training takes. XLA's own way (`trainer.xla`,
`trainer.preflight`) traces without it, too.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def as_written(function: Function) -> Function:
    """AutoGraph leaves alone what `function` calls, and what datasets that it makes call.

    A tensor as the condition of `if` or `while` is then refused, with TensorFlow's advice: tf.cond,
    or `@tf.function` on the function that has it.
    """
    import tensorflow as tf

    return tf.autograph.experimental.do_not_convert(function)
