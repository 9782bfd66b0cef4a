import pytest

from tests.gcs_server import GcsServer


@pytest.fixture(scope="session")
def gcs_server():
    with GcsServer() as server:
        yield server


@pytest.fixture
def gcs(gcs_server, monkeypatch):
    """The server with an empty bucket, and this process's environment leading to it."""
    gcs_server.clear()
    for name, value in gcs_server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    yield gcs_server
    gcs_server.clear()
