import keras
import pytest


@pytest.fixture(autouse=True)
def _restore_precision():
    """Lowering builds a TPU's bfloat16 networks; the policy is global in Keras."""
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)
