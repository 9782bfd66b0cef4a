import re

import numpy as np
import pytest

from ensemble import EnsembleConfig, run
from ensemble.formats import EXPORT_FORMATS, Written, need
from ensemble.main import remarks
from orchard.errors import OrchardError
from tests.ensemble.builders import make_dataset, make_member, read_jpeg

_SIZES = {"a": (16, 16), "b": (20, 24)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("formats")
    dataset = root / "leaves" / "1.0.0"
    make_dataset(dataset, {"fold0": 24, "fold1": 12, "test": 4})
    for seed, (name, size) in enumerate(_SIZES.items()):
        make_member(root / name, dataset, seed=seed, size=size)
    return root, dataset


def _config(world, output, **changes):
    root, dataset = world
    values = {"members": tuple(str(root / name) for name in _SIZES), "dataset": str(dataset)}
    return EnsembleConfig(**{**values, "split": "fold0", "output_dir": str(output), **changes})


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")
    pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed")
    config = _config(world, tmp_path_factory.mktemp("out"), formats=("onnx", "litert"))
    return config, run(config)


def test_files_agree_with_the_saved_model_and_say_what_integers_cost(finished):
    config, result = finished
    by_name = {one.name: one for one in result.exported}
    assert list(by_name) == ["model.onnx", "model.tflite", "model_int8.tflite"]
    assert by_name["model.onnx"].most_different < 1e-4
    assert by_name["model.tflite"].most_different < 1e-4
    int8 = by_name["model_int8.tflite"]
    assert not int8.exact and int8.metric == "accuracy" and int8.num_images == 24
    assert int8.score_before == pytest.approx(
        result.split_board.ensemble.scores["accuracy"], abs=1e-6
    )
    assert int8.sentence in remarks(config, result)


def test_model_runs_from_files_by_the_copied_decoder_alone(finished, tmp_path):
    import importlib.util

    import onnxruntime

    config, result = finished
    spec = importlib.util.spec_from_file_location("copied", f"{config.output_dir}/pixels.py")
    decoder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(decoder)
    session = onnxruntime.InferenceSession(
        f"{config.output_dir}/model.onnx", providers=["CPUExecutionProvider"]
    )
    records, found = result.inputs.records, []
    for row in range(len(records)):
        jpeg = read_jpeg(records, row)
        images = {
            f"images_{height}x{width}": decoder.load(jpeg, height, width)[None]
            for height, width in _SIZES.values()
        }
        found.append(session.run(["probabilities"], images)[0][0])
    # A level of rounding at a few points is all that the decoders differ by.
    np.testing.assert_allclose(found, result.probabilities, atol=1e-3)


def test_report_shows_files_and_the_code_that_decodes(finished):
    config, _ = finished
    with open(f"{config.output_dir}/report.html", encoding="utf-8") as file:
        section = file.read().split("<h2>Other formats</h2>")[1].split("<h2>")[0]
    assert re.search(r"model_int8\.tflite.*accuracy", section)
    assert 'pixels.load("photo.jpg", 16, 16, "squash")' in section


def test_run_without_formats_removes_those_of_before(world, tmp_path):
    (tmp_path / "model.onnx").write_text("of before")
    (tmp_path / "pixels.py").write_text("of before")
    run(_config(world, tmp_path, export=False))
    assert not (tmp_path / "model.onnx").exists() and not (tmp_path / "pixels.py").exists()


def test_format_that_disagrees_is_not_written(world, tmp_path):
    class Wrong:
        files = ("model.wrong",)

        @staticmethod
        def check():
            pass

        @staticmethod
        def write(pixels, calibration):
            del pixels
            one = next(calibration())
            assert {name: images.shape[0] for name, images in one.items()} == {"images_16x16": 1}
            yield Written("model.wrong", b"0", "nothing", lambda images: np.full((24, 3), 0.2))

    EXPORT_FORMATS.register("wrong")(Wrong)
    try:
        with pytest.raises(OrchardError, match=r"model\.wrong does not agree"):
            run(_config(world, tmp_path, formats=("wrong",), members=(str(world[0] / "a"),)))
        assert not (tmp_path / "model.wrong").exists()
        assert not (tmp_path / "report.html").exists()
    finally:
        EXPORT_FORMATS._members.pop("wrong")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formats": ("onxn",)}, "--formats=onxn: choose among litert, onnx"),
        ({"formats": ("onnx",), "export": False}, "--noexport"),
    ],
)
def test_formats_that_cannot_be_are_refused(changes, message, world, tmp_path):
    with pytest.raises(OrchardError, match=message):
        _config(world, tmp_path, **changes)


def test_missing_package_is_one_line_with_the_extra():
    with pytest.raises(OrchardError, match=r"pip install '\.\[onnx\]'"):
        need("no_such_module_of_ours", flag="onnx", extra="onnx")
