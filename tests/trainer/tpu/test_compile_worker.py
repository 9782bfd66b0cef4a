from trainer.tpu.compile_worker import collectives, refusal

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


_COMPILED = """
%fused (p: f32[8,128]) -> f32[8,128] { ROOT %a = f32[8,128]{1,0:T(8,128)} add(%p, %p) }
ENTRY %main {
  %all-reduce.1 = (f32[64]{0:T(128)}, bf16[3,3,8,16]{3,2,1,0:T(8,128)}) all-reduce(%a, %b)
  %all-reduce-start = f32[10]{0} all-reduce-start(%c), channel_id=2
  %all-reduce-done = f32[10]{0} all-reduce-done(%all-reduce-start)
  %gathered = pred[16,2]{1,0} all-gather(%d), dimensions={0}
  ROOT %x = f32[64]{0} fusion(%all-reduce.1), kind=kLoop, calls=%fused
}
"""


def test_collectives_of_a_compiled_program_are_counted_once_with_their_bytes():
    assert collectives(_COMPILED) == {
        "all-reduce": {"count": 2, "result_bytes": 64 * 4 + 9 * 8 * 16 * 2 + 10 * 4},
        "all-gather": {"count": 1, "result_bytes": 32},
    }
