"""What TensorBoard's tab HPARAMS shows of runs: event files, written without TensorFlow.

Each run is a session: its flags, then its exported step's scores and its costs as scalars. The
experiment says which of them are columns, and it alone knows which flags differ.
Formats: tensorboard/plugins/hparams/plugin_data.proto and api.proto, tensorboard/compat/proto.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)

from orchard import storage
from orchard.formats import tfrecord
from trainer.comparison.entries import Entry, differing_flags

# TensorBoard reads what has "tfevents" in its name; ours alone are replaced.
_FILE = "events.out.tfevents.0.orchard"
# Always a column: with one run, or runs of one kind, no flag differs.
_ALWAYS = "architecture"


def write_hparams(directory: str, entries: Sequence[Entry]) -> None:
    """Write a folder for `tensorboard --logdir`; what an earlier call wrote there is replaced.

    Args:
        directory: the folder, local or gs://.
        entries: what `read_entries` gave; all folds together are left out, TensorBoard has means.
    """
    runs = [entry for entry in entries if not entry.is_folds]
    flags = list(dict.fromkeys([_ALWAYS, *differing_flags(runs)]))
    metrics = list(dict.fromkeys(tag for run in runs for tag in _scalars(run)))
    for name in storage.list_files(directory) if storage.exists(directory) else ():
        if name.rpartition("/")[2] == _FILE:
            storage.remove_tree(storage.join(directory, name))
    for run in runs:
        name = "run" if run.name == "." else run.name
        _write(storage.join(directory, *name.split("/"), _FILE), _session(run, name, flags))
    _write(storage.join(directory, _FILE), [_experiment(runs, flags, metrics)])


def _scalars(run: Entry) -> dict[str, float]:
    """Scores and costs that are known, by tag."""
    record, clock, flops = run.record, run.time, run.flops_per_image
    values: dict[str, float | None] = {f"scores/{k}": v for k, v in record.scores.items()}
    if clock is not None:
        values["cost/wall_seconds"] = clock.wall_seconds
        values["cost/cpu_seconds"] = clock.cpu_seconds
        values["cost/device_seconds"] = clock.device_seconds or None
    values["cost/gflops_per_image"] = flops and flops / 1e9
    return {tag: value for tag, value in values.items() if value is not None}


def _experiment(runs: Sequence[Entry], flags: Sequence[str], metrics: Sequence[str]) -> Event:
    experiment = api_pb2.Experiment()
    for flag in flags:
        values = list(dict.fromkeys(_plain(run.flags[flag]) for run in runs if flag in run.flags))
        info = experiment.hparam_infos.add(name=flag)
        if all(isinstance(value, bool) for value in values):
            info.type = api_pb2.DATA_TYPE_BOOL
            info.domain_discrete.extend(values)
        elif all(isinstance(value, int | float) for value in values):
            info.type = api_pb2.DATA_TYPE_FLOAT64
            info.domain_interval.min_value = min(values)
            info.domain_interval.max_value = max(values)
        else:
            info.type = api_pb2.DATA_TYPE_STRING
            info.domain_discrete.extend(str(value) for value in values)
    for tag in metrics:
        experiment.metric_infos.add(name=api_pb2.MetricName(tag=tag))
    return _of_plugin(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))


def _session(run: Entry, name: str, flags: Iterable[str]) -> list[Event]:
    start = SessionStartInfo(group_name=name)
    for flag in flags:
        if flag in run.flags:
            value = _plain(run.flags[flag])
            # To protobuf, too, a truth value is an integer.
            if isinstance(value, bool):
                start.hparams[flag].bool_value = value
            elif isinstance(value, int | float):
                start.hparams[flag].number_value = value
            else:
                start.hparams[flag].string_value = value
    end = SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
    scalars = [
        Event(
            wall_time=time.time(),
            step=run.record.best_step,
            summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]),
        )
        for tag, value in _scalars(run).items()
    ]
    return [
        _of_plugin(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),
        *scalars,
        _of_plugin(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end)),
    ]


def _plain(value: Any) -> bool | int | float | str:
    if isinstance(value, bool | int | float):
        return value
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _of_plugin(tag: str, data: HParamsPluginData) -> Event:
    value = Summary.Value(
        tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
    )
    return Event(wall_time=time.time(), summary=Summary(value=[value]))


def _write(path: str, events: Sequence[Event]) -> None:
    payloads = [
        event.SerializeToString()
        for event in (Event(wall_time=time.time(), file_version="brain.Event:2"), *events)
    ]
    frames = [
        tfrecord.frame_header(len(payload))
        + payload
        + tfrecord.frame_footer(google_crc32c.value(payload))
        for payload in payloads
    ]
    storage.write_bytes(path, b"".join(frames))
