import threading
from queue import Queue

import pytest

from tests.trainer import runs
from tests.trainer.metadata_server import MetadataServer
from trainer.checkpoints import files
from trainer.loop import train_and_evaluate
from trainer.runtime import preemption
from trainer.runtime.interruption import EXIT_RUN_AGAIN
from trainer.runtime.preemption import watch_preemption
from trainer.training.progress import read_metrics


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setattr(preemption, "_RETRY_SECONDS", 0.01)
    servers = []

    def start(**values):
        servers.append(MetadataServer(**values))
        monkeypatch.setenv("GCE_METADATA_HOST", servers[-1].host)
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def _watching_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("watch ")]


def test_watch_preemption_announced_preemption_is_reported(serve):
    server, notices = serve(preempted="FALSE", maintenance_event="NONE"), Queue()
    with watch_preemption(notices.put):
        server.wait_for_requests(2, "wait_for_change=true")
        assert notices.empty()
        server.set("preempted", "TRUE")
        assert notices.get(timeout=120) == "Compute Engine says preempted TRUE"


def test_watch_preemption_maintenance_that_keeps_the_machine_is_ignored(serve):
    server, notices = serve(maintenance_event="NONE"), Queue()
    with watch_preemption(notices.put):
        server.wait_for_requests(1, "wait_for_change=true")
        server.set("maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE")
        server.wait_for_requests(2, "wait_for_change=true")
        assert notices.empty()
        server.set("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE")
        assert "TERMINATE" in notices.get(timeout=120)


def test_watch_preemption_busy_server_is_asked_again(serve):
    server, notices = serve(preempted="TRUE"), Queue()
    server.status = 503
    with watch_preemption(notices.put):
        server.wait_for_requests(8)
        assert notices.empty()
        server.status = 200
        assert "preempted" in notices.get(timeout=120)


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\nContent-Length: 99\r\n\r\nTR",
        b"HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\n\r\n\xff",
    ],
    ids=("no_http", "half_an_answer", "no_text"),
)
def test_watch_preemption_answer_that_cannot_be_read_is_asked_for_again(raw, serve):
    server, notices = serve(preempted="TRUE"), Queue()
    server.raw = raw
    with watch_preemption(notices.put):
        server.wait_for_requests(8)
        assert notices.empty()
        server.raw = b""
        assert "preempted" in notices.get(timeout=120)


def test_watch_preemption_answer_of_another_server_is_ignored(serve):
    server, notices = serve(flavor="hotel Wi-Fi", preempted="TRUE", maintenance_event="NONE"), []
    with watch_preemption(notices.append):
        server.wait_for_requests(8)
    assert notices == []


def test_watch_preemption_outside_compute_engine_ends_by_itself(monkeypatch):
    asked = []

    def unknown_host(_, key, etag):
        asked.append(key)
        raise OSError("Name or service not known")

    monkeypatch.delenv("GCE_METADATA_HOST", raising=False)
    monkeypatch.setattr(preemption, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(preemption._Watch, "_ask", unknown_host)
    before = _watching_threads()
    with watch_preemption(lambda what: pytest.fail(what)):
        for thread in set(_watching_threads()) - set(before):
            thread.join(timeout=120)
            assert not thread.is_alive()
    assert sorted(asked) == sorted([*preemption._NOTICES] * preemption._PROBES)


def test_train_and_evaluate_preempted_saves_and_exits_with_run_again(
    serve, tmp_path, tiny_dataset, tiny_backbone
):
    server = serve(preempted="FALSE", maintenance_event="NONE")
    config = runs.config(
        tiny_dataset, tiny_backbone, tmp_path, epochs=10_000, watch_preemption=True
    )
    server.set("preempted", "TRUE")
    assert train_and_evaluate(config) == EXIT_RUN_AGAIN
    assert files.steps(config.run_dir)[-1] >= 1
    (event,) = [line for line in read_metrics(config.run_dir) if line["kind"] == "event"]
    assert event["reason"] == "Compute Engine says preempted TRUE"


def test_train_and_evaluate_without_watch_preemption_asks_no_server(
    serve, tmp_path, tiny_dataset, tiny_backbone
):
    server = serve(preempted="TRUE")
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, max_minutes=1e-6)
    assert train_and_evaluate(config) == EXIT_RUN_AGAIN
    assert server.requests == []
