import pytest

from orchard.errors import OrchardError
from tests.data_prep.builders import make_input, run


def test_assign_splits_with_fewer_rows_than_folds_names_the_empty_split(tmp_path):
    given = make_input(tmp_path / "in", rows=2)
    with pytest.raises(OrchardError, match="'fold.' would be empty; .* use fewer folds"):
        run(tmp_path / "out", folds=3, **given)
