"""libtpu itself: needs the extra [preflight]; each program takes seconds to compile."""

import importlib.util
import textwrap

import pytest

from orchard.errors import OrchardError
from trainer.tpu import compiler
from trainer.tpu.chips import parse_topology

V5E = parse_topology("v5e:2x2")

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("jax", "libtpu")),
    reason="the extra [preflight] (jax, jaxlib, libtpu) is not installed",
)


def _program(body, signature="(%x: tensor<8x128xf32>) -> tensor<8x128xf32>", name="step_12"):
    text = f'module @"{name}" {{ func.func public @main{signature} {{\n{body}\n}} }}'
    return textwrap.dedent(text).encode()


DOUBLED = _program("%y = stablehlo.add %x, %x : tensor<8x128xf32>\nreturn %y : tensor<8x128xf32>")


def test_compile_program_under_another_module_name_comes_from_the_cache(tmp_path):
    first = compiler.compile_program(DOUBLED, V5E, str(tmp_path))
    assert first.fits
    assert not first.cached
    assert first.argument_bytes == first.output_bytes == 8 * 128 * 4
    assert first.flops == 8 * 128
    assert first.num_hosts == 1
    renamed = DOUBLED.replace(b"step_12", b"step_12345")
    again = compiler.compile_program(renamed, V5E, str(tmp_path))
    assert again.cached
    assert again.key == first.key


def test_compile_program_for_one_chip_or_several_hosts_counts_hosts(tmp_path):
    hosts = {}
    for name in ("v5e:1x1", "v4:2x2x4"):
        found = compiler.compile_program(DOUBLED, parse_topology(name), str(tmp_path))
        assert found.fits
        hosts[name] = found.num_hosts
    assert hosts == {"v5e:1x1": 1, "v4:2x2x4": 4}


def test_compile_program_too_large_reports_the_memory_of_the_chip_table(tmp_path):
    shape = "tensor<100000x1024x1024xf32>"
    body = f"%y = stablehlo.add %x, %x : {shape}\nreturn %y : {shape}"
    huge = _program(body, f"(%x: {shape}) -> {shape}")
    for name in ("v2:2x2", "v3:2x2", "v4:2x2x1", "v5e:2x2", "v5p:2x2x1", "v6e:2x2"):
        topology = parse_topology(name)
        found = compiler.compile_program(huge, topology, str(tmp_path))
        assert found.verdict == compiler.TOO_LARGE
        assert found.available_bytes == topology.chip.available_hbm_bytes
        assert found.needed_bytes > found.available_bytes


def test_compile_program_with_a_dynamic_shape_names_the_problem(tmp_path):
    body = """
        %n = stablehlo.constant dense<4> : tensor<i32>
        %y = "stablehlo.set_dimension_size"(%x, %n) {dimension = 0 : i64} :
            (tensor<8x128xf32>, tensor<i32>) -> tensor<?x128xf32>
        return %x : tensor<8x128xf32>
    """
    found = compiler.compile_program(_program(body), V5E, str(tmp_path))
    assert found.problems == ("stablehlo.set_dimension_size: a shape that depends on the data",)


def test_compile_program_that_kills_the_compiler_is_one_line(tmp_path):
    with pytest.raises(OrchardError, match="the TPU compiler died .*exit status 1"):
        compiler.compile_program(b"no program", V5E, str(tmp_path))
