import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from orchard.formats.crc32c import Summed, combine, data_of, extend


@given(st.binary(max_size=600), st.binary(max_size=600))
def test_combine_is_the_crc_of_both_together(first, second):
    crcs = google_crc32c.value(first), google_crc32c.value(second)
    assert combine(*crcs, len(second)) == google_crc32c.value(first + second)


def test_extend_by_a_large_piece_that_is_summed_is_as_if_its_bytes_were_read():
    for size in (0, 10, (1 << 18) - 1, 1 << 18, 1_219_349):
        data = bytes(range(251)) * (size // 251 + 1)
        data = data[:size]
        piece = Summed(data, google_crc32c.value(data))
        assert data_of(piece) is data
        assert extend(google_crc32c.value(b"head"), piece) == google_crc32c.value(b"head" + data)
    assert extend(0, b"head") == google_crc32c.value(b"head")
