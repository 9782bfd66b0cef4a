"""What is written for TensorBoard's tab HPARAMS, as TensorBoard's own plug-in reads it."""

import pytest
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from tests.trainer.comparison.made_up import write_folds, write_run
from trainer.comparison import read_entries, write_hparams


def _read(logdir):
    """(the experiment, the groups of sessions) as the plug-in gives them to the page."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(logdir))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    experiment = context.experiment_from_metadata(
        RequestContext(), "", True, context.hparams_metadata(RequestContext(), ""), []
    )
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=100, allowed_statuses=[api_pb2.STATUS_SUCCESS]
    )
    request.col_params.add(
        metric=api_pb2.MetricName(tag="scores/accuracy"), order=api_pb2.ORDER_DESC
    )
    handler = list_session_groups.Handler(RequestContext(), context, "", request)
    return experiment, handler.run().session_groups


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path / "runs" / "good", noise=0.5, learning_rate=0.1, batch_norm="frozen")
    write_run(tmp_path / "runs" / "bad", noise=4.0, learning_rate=0.2, jit_compile=True)
    write_folds(tmp_path / "runs" / "all")
    return tmp_path


def test_tensorboard_reads_flags_scores_and_costs_of_each_run(folder):
    entries = read_entries(str(folder / "runs"))
    write_hparams(str(folder / "hparams"), entries)
    experiment, groups = _read(folder / "hparams")
    columns = {info.name: info.type for info in experiment.hparam_infos}
    assert columns["learning_rate"] == api_pb2.DATA_TYPE_FLOAT64
    assert columns["batch_norm"] == columns["architecture"] == api_pb2.DATA_TYPE_STRING
    assert "epochs" not in columns and "run_dir" not in columns
    assert [group.name for group in groups][-1] == "bad" and len(groups) == 4
    good = next(group for group in groups if group.name == "good")
    assert good.hparams["learning_rate"].number_value == 0.1
    assert good.hparams["batch_norm"].string_value == "frozen"
    values = {metric.name.tag: metric.value for metric in good.metric_values}
    record = next(entry.record for entry in entries if entry.name == "good")
    assert values["scores/accuracy"] == pytest.approx(record.scores["accuracy"])
    assert values["cost/cpu_seconds"] == 100.0
    assert values["cost/gflops_per_image"] == pytest.approx(0.7716, abs=1e-4)
    assert "cost/device_seconds" not in values


def test_write_hparams_again_replaces_what_is_ours_and_nothing_else(folder):
    entries = read_entries(str(folder / "runs"))
    (folder / "hparams").mkdir()
    theirs = folder / "hparams" / "notes.txt"
    theirs.write_text("mine")
    write_hparams(str(folder / "hparams"), entries)
    write_hparams(str(folder / "hparams"), [one for one in entries if one.name == "good"])
    _, groups = _read(folder / "hparams")
    assert [group.name for group in groups] == ["good"] and theirs.read_text() == "mine"
