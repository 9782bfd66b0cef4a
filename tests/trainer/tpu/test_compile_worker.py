from trainer.tpu.compile_worker import refusal

_TOO_LARGE = (
    "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory "
    "required for HLO temporaries (25.13G) exceeds available HBM (15.75G). HLO module: step.\nSee"
)
_TOO_LARGE_WITH_PROGRAM = (
    "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 16.90G of 15.75G hbm. "
    "Exceeded hbm capacity by 1.15G."
)


def test_refusal_out_of_memory_has_needed_and_available_bytes():
    found = refusal(_TOO_LARGE)
    assert found["verdict"] == "too_large"
    assert found["needed_bytes"] == int(25.13 * 2**30)
    assert found["available_bytes"] == int(15.75 * 2**30)
    assert refusal(_TOO_LARGE_WITH_PROGRAM)["needed_bytes"] == int(16.9 * 2**30)


def test_refusal_other_error_is_one_line():
    found = refusal("UNIMPLEMENTED: no such op\non this device")
    assert found == {"verdict": "unsupported", "message": "UNIMPLEMENTED: no such op"}
