"""The campaigns in short, and that they would notice."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest

from tests.ensemble.builders import make_dataset, make_member
from tests.torture import __main__ as main
from tests.torture.campaigns import CAMPAIGNS, Campaign
from tests.torture.places import Folder
from tests.torture.trials import KILLS, Bench
from tests.trainer.datasets import jpeg, smooth_image

# Writes a file in parts and then says that it is finished, in the order of the arguments.
_PROGRAM = """
import os, sys, time
out = sys.argv[1]
for what in sys.argv[2:]:
    if what == "part":
        open(os.path.join(out, "data"), "a").write("part")
    elif what == "whole":
        open(os.path.join(out, "new"), "w").write("part" * 5)
        os.replace(os.path.join(out, "new"), os.path.join(out, "data"))
    elif what == "mark":
        open(os.path.join(out, "mark"), "w").close()
    elif what == "forget":
        for name in os.listdir(out):
            os.remove(os.path.join(out, name))
    elif what == "refuse" and os.path.exists(os.path.join(out, "data")):
        sys.exit("error: it is there")
    elif what == "raise" and os.path.exists(os.path.join(out, "data")):
        raise OSError("it is there")
    time.sleep(0.05)
"""


def bench(campaign, folder):
    inputs = folder / "inputs"
    inputs.mkdir()
    campaign.make_inputs(inputs)
    return Bench(campaign, inputs, Folder(folder / "now"), {})


def made_up(*steps, **changes):
    def outcome(place, inputs):
        if not Path(place.path, "mark").exists():
            return None
        return {"data": Path(place.path, "data").read_text()}

    def command(inputs, path):
        return [sys.executable, "-c", _PROGRAM, path, *steps]

    values = {
        "name": "made_up",
        "left_out": "nothing",
        "kills": 5,
        "make_inputs": lambda folder: None,
    }
    return Campaign(command=command, outcome=outcome, **(values | changes))


def test_prep_killed_at_random_moments_ends_in_the_undisturbed_bytes(tmp_path):
    prep = bench(CAMPAIGNS["prep"], tmp_path)
    trial = prep.run(KILLS, 0, os.getpid(), prep.undisturbed(runs=1))
    assert not trial.failure
    assert trial.moments or trial.ended_early


def test_predict_killed_at_random_moments_ends_in_the_undisturbed_bytes(tmp_path):
    def make_inputs(folder):
        dataset = folder / "leaves" / "1.0.0"
        make_dataset(dataset, {"fold0": 4, "fold1": 4})
        make_member(folder / "run0", dataset)
        (folder / "photos").mkdir()
        for number in range(60):
            content = jpeg(smooth_image(number, 20, 24))
            (folder / "photos" / f"p{number:03d}.jpg").write_bytes(content)

    # No fork of this process: other tests have left TensorFlow's threads and flags in it.
    campaign = dataclasses.replace(CAMPAIGNS["predict"], make_inputs=make_inputs, preload=())
    predict = bench(campaign, tmp_path)
    trial = predict.run(KILLS, 0, os.getpid(), predict.undisturbed(runs=1))
    assert not trial.failure
    assert trial.moments or trial.ended_early


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_campaign_in_a_tenth_of_its_length(tmp_path, monkeypatch, capsys):
    arguments = ["torture", f"--state={tmp_path / 'state.json'}", "--share=0.1", "--minutes=100"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert main.main() == 0, capsys.readouterr().out


_WHOLE = ("forget", "whole", "mark")


def test_trial_of_a_command_that_goes_on_well_does_not_fail(tmp_path):
    campaign = bench(made_up(*_WHOLE), tmp_path)
    reference = campaign.undisturbed()
    trials = [campaign.run(KILLS, number, 0, reference) for number in range(2)]
    assert [one.failure for one in trials] == ["", ""]
    assert sum(len(one.moments) for one in trials) > 2


@pytest.mark.parametrize(
    ("steps", "kind", "failure"),
    [
        (["mark", *["part"] * 5], KILLS, "what looks whole"),
        ([*["part"] * 5, "mark"], KILLS, "what looks whole differs in data"),
        (["refuse", *["part"] * 5, "mark"], KILLS, "fails (1): error: it is there"),
        (["raise", *["part"] * 5, "mark"], "two at once", "it ends neither well nor in one line"),
    ],
    ids=["marked too early", "gone on twice", "never again", "traceback"],
)
def test_trial_of_a_command_that_tears_its_output_fails(tmp_path, steps, kind, failure):
    campaign = bench(made_up(*steps), tmp_path)
    reference = campaign.undisturbed()
    trials = (campaign.run(kind, number, 0, reference) for number in range(1, 9))
    assert any(failure in one.failure for one in trials)


def test_run_again_does_nothing_again_and_its_table_tells_all(tmp_path, monkeypatch, capsys):
    campaign = made_up(*_WHOLE, others={"two at once": 1})
    monkeypatch.setitem(CAMPAIGNS, "made_up", campaign)
    arguments = ["torture", f"--state={tmp_path / 'state.json'}", "--only=made_up", "--share=0.4"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert main.main() == 0
    lines = capsys.readouterr().out.splitlines()
    trials = json.loads((tmp_path / "state.json").read_text())["trials"]
    kills = [one for one in trials if one["kind"] == KILLS]
    count = sum(len(one["moments"]) for one in kills)
    assert count >= 2
    assert f"| made_up | kills | {count} | 0 | {len(kills)} | {len(kills)} | 0 |" in lines
    assert main.main() == 0
    assert "Not compared of made_up: nothing" in lines
    at = next(number for number, line in enumerate(lines) if line.startswith("|"))
    assert capsys.readouterr().out.splitlines() == lines[at:]
