import itertools

import pytest

from trainer.tpu.search import Attempt, largest_batch, rung_above, rung_at_or_below

GIB = 2**30
AVAILABLE = 16 * GIB


def _device(fixed_bytes, bytes_per_image):
    """A compiler whose need grows with the batch; counts what it is asked."""
    tried = []

    def try_batch(batch_size):
        tried.append(batch_size)
        needed = int(fixed_bytes + batch_size * bytes_per_image)
        return Attempt(batch_size, needed <= AVAILABLE, needed, AVAILABLE)

    return try_batch, tried


def test_rungs_are_powers_of_two_then_multiples_of_eight():
    ladder = list(itertools.accumulate(range(6), lambda rung, _: rung_above(rung), initial=1))
    assert ladder == [1, 2, 4, 8, 16, 24, 32]
    assert [rung_at_or_below(n) for n in (0.5, 1, 3, 5.9, 8, 15, 31.9)] == [1, 1, 2, 4, 8, 8, 24]
    # Further up by a sixteenth of the size.
    assert (rung_above(248), rung_above(256), rung_above(4096)) == (256, 272, 4352)
    assert (rung_at_or_below(271), rung_at_or_below(1023)) == (256, 992)


@pytest.mark.parametrize("start", [1, 8, 40, 512, 4096])
@pytest.mark.parametrize("mib_per_image", [0.02, 7, 100, 660, 2500, 6000])
def test_largest_batch_from_any_start_finds_the_largest_rung_that_fits(start, mib_per_image):
    try_batch, tried = _device(GIB // 2, mib_per_image * 2**20)
    found = largest_batch(try_batch, start)
    next_rung = rung_above(found.batch_size)
    assert found.fits
    assert GIB // 2 + next_rung * mib_per_image * 2**20 > AVAILABLE
    assert len(tried) == len(set(tried))
    assert len(tried) <= 12


def test_largest_batch_from_above_needs_one_fit():
    try_batch, tried = _device(GIB // 2, 660 * 2**20)
    assert largest_batch(try_batch, 64).batch_size == 24
    assert [b for b in tried if GIB // 2 + b * 660 * 2**20 <= AVAILABLE] == [24]


def test_largest_batch_after_an_earlier_refusal_starts_below_it():
    try_batch, tried = _device(GIB // 2, 660 * 2**20)
    refused = Attempt(28, False, GIB // 2 + 28 * 660 * 2**20, AVAILABLE)
    assert largest_batch(try_batch, 1000, [refused]).batch_size == 24
    # 24 fits and 28 did not: the rung of 32 needs no compilation.
    assert tried == [24]


def test_largest_batch_after_refusals_without_sizes_halves():
    tried = []

    def try_batch(batch_size):
        tried.append(batch_size)
        return Attempt(batch_size, batch_size <= 8)

    assert largest_batch(try_batch, 64).batch_size == 8
    assert tried == [64, 32, 16, 8]


def test_largest_batch_with_uneven_needs_follows_them_down():
    # Near the limit a compiler trades arithmetic for memory: more fits than a line says.
    def try_batch(batch_size):
        needed = int(batch_size * 0.9 * GIB) if batch_size > 20 else int(batch_size * 0.7 * GIB)
        return Attempt(batch_size, needed <= AVAILABLE, needed, AVAILABLE)

    assert largest_batch(try_batch, 100).batch_size == 16


def test_largest_batch_with_a_need_off_the_line_halves():
    def try_batch(batch_size):
        return Attempt(batch_size, batch_size <= 5000, batch_size**3, AVAILABLE)

    found = largest_batch(try_batch, 100_000)
    assert found.batch_size == rung_at_or_below(5000)


def test_largest_batch_where_nothing_fits_is_none():
    try_batch, tried = _device(17 * GIB, 1)
    assert largest_batch(try_batch, 64) is None
    assert tried[-1] == 1
