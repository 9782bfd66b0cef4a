import dataclasses

import pytest

from orchard.errors import OrchardError
from trainer.data.options import InputOptions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height_px": 0}, "height_px"),
        ({"width_px": -3}, "width_px"),
        ({"threads": -1}, "--threads=-1"),
        ({"resize": "stretch"}, "--resize=stretch"),
        ({"reader": "fast"}, "--reader=fast"),
        ({"on_bad_record": "cry"}, "--on_bad_record=cry"),
        ({"reader": "block", "cache": "ram"}, "--reader=block excludes --cache and --cache_dir"),
        ({"reader": "block", "cache_dir": "here"}, "--reader=block excludes"),
        ({"cache": "ram", "cache_dir": "here"}, "exclude each other"),
    ],
)
def test_input_options_impossible_value_is_refused(changes, message):
    with pytest.raises(OrchardError, match=message):
        InputOptions(**{"height_px": 8, "width_px": 8, **changes})
    with pytest.raises(OrchardError, match=message):
        dataclasses.replace(InputOptions(height_px=8, width_px=8), **changes)
