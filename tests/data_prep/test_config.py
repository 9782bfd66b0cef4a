import pytest

from data_prep.config import PrepConfig
from orchard.errors import OrchardError

GOOD = {"csv": "a.csv", "images_dir": "b", "name": "c", "version": "1.0.0", "data_dir": "d"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"csv": ""}, "--csv is required"),
        ({"name": "Bad-Name"}, "--name=Bad-Name"),
        ({"version": "1.0"}, "--version=1.0"),
        ({"folds": 1}, "--folds=1"),
        ({"eval_fraction": 1.5}, "--eval_fraction=1.5"),
        ({"folds": 5, "eval_fraction": 0.1}, "exclude each other"),
        ({"short_side_px": 5, "max_side_px": 5}, "exclude each other"),
        ({"short_side_px": 5, "square_px": 5}, "exclude each other"),
        ({"square_px": -1}, "--square=-1"),
        ({"jpeg_quality": 0}, "--jpeg_quality=0"),
        ({"short_side_px": -1}, "--short_side=-1"),
        ({"on_bad": "ignore"}, "choose one of fail, skip"),
        ({"engine": "spark"}, "choose one of local, beam"),
        ({"extension": "jpg"}, "starts with a dot"),
        ({"beam_options": "--runner=x"}, "needs --engine=beam"),
        ({"class_names": ("a", "a")}, "appears twice"),
        ({"workers": -1}, "--workers=-1"),
        ({"test_images_dir": "e"}, "--test_images_dir needs --test_csv"),
        ({"data_dir": "d\udcff"}, r"--data_dir='d\\udcff' is not UTF-8"),
        ({"class_names": ("a", "b\udcff")}, r"--class_names='a,b\\udcff' is not UTF-8"),
    ],
)
def test_prep_config_impossible_value_is_refused_in_flag_terms(change, message):
    with pytest.raises(OrchardError, match=message):
        PrepConfig(**{**GOOD, **change})


def test_prep_config_list_is_taken_for_a_tuple():
    given = PrepConfig(**GOOD, class_names=["a", "b"])
    assert given == PrepConfig(**GOOD, class_names=("a", "b"))


def test_settings_leave_out_what_changes_no_byte_of_the_data():
    one = PrepConfig(**GOOD)
    other = PrepConfig(
        **{**GOOD, "csv": "x", "images_dir": "x", "data_dir": "x"},
        workers=3,
        engine="beam",
        beam_options="--x",
        decode_check=True,
        overwrite=True,
    )
    assert one.settings() == other.settings()
    assert one.settings() != PrepConfig(**GOOD, seed=1).settings()


def test_prep_config_without_any_flag_names_all_that_are_required():
    with pytest.raises(OrchardError) as error:
        PrepConfig(images_dir="", name="", version="", data_dir="")
    assert str(error.value).startswith(
        "--csv, --images_dir, --name, --version and --data_dir are required"
    )


def test_prep_config_settings_have_later_ones_only_where_they_were_chosen():
    needed = {"csv": "x", "images_dir": "x", "name": "x", "version": "1.0.0", "data_dir": "x"}
    assert not {"label_delimiter", "split_column"} & PrepConfig(**needed).settings().keys()
    assert PrepConfig(**needed, label_delimiter="|").settings()["label_delimiter"] == "|"
