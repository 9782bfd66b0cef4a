from data_prep.plan.versions import deciding_versions, library_versions


def test_deciding_versions_are_among_all_and_have_the_format():
    assert deciding_versions().items() <= library_versions().items()
    assert deciding_versions()["data_prep_format"] == "1"
    assert all(library_versions().values())
