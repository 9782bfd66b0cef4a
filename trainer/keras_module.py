"""Keras as everything here uses it: on TensorFlow, channels last, in float32. Import it from here.

Keras takes its defaults from ~/.keras/keras.json when it is first imported. What a user wants there
for other work would change scores, or end in a traceback. Its backend is chosen even earlier, in
`trainer/__init__.py`.
"""

import sys
from typing import Any

import keras

from orchard.errors import OrchardError

if keras.config.backend() != "tensorflow":
    raise OrchardError(
        f"Keras was imported before Orchard, on {keras.config.backend()}; set "
        "KERAS_BACKEND=tensorflow, or import trainer first"
    )
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)


def __getattr__(name: str) -> Any:
    """For `orchard.lazy.lazy_import`: the module itself, as if it were Keras."""
    return getattr(sys.modules["keras"], name)
