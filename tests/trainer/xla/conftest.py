import pytest


@pytest.fixture(scope="session")
def devices():
    """Eight virtual CPU devices, in a process whose jax has not computed anything before."""
    jax = pytest.importorskip("jax")
    from trainer.xla import enable_all_dtypes

    enable_all_dtypes()
    jax.config.update("jax_platforms", "cpu")  # It would look for TPUs, too.
    jax.config.update("jax_num_cpu_devices", 8)
    return jax.devices("cpu")
