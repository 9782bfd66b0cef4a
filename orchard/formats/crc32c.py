"""The crc32c of bytes that follow one another, out of the crc32c of each: no byte is read twice.

A crc is linear over GF(2): to append bytes is to multiply by a power of x, then to add the crc of
what was appended. Source: zlib's `crc32_combine`, here with the polynomial of Castagnoli.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import google_crc32c

_POLYNOMIAL = 0x82F63B78  # its bits in the order that crc32c has them
# From here on, to combine takes less than to read the bytes again.
_LARGE_BYTES = 1 << 18

# What multiplies by a power of x: for each four bits of a crc, what they become.
_Tables = Sequence[Sequence[int]]


class Summed(NamedTuple):
    """Bytes whose crc32c is known."""

    data: bytes
    crc32c: int


Piece = bytes | Summed


def data_of(piece: Piece) -> bytes:
    """The bytes of a piece."""
    return piece.data if isinstance(piece, Summed) else piece


def extend(crc: int, piece: Piece) -> int:
    """The crc32c of what has `crc`, with a piece behind it."""
    if isinstance(piece, Summed):
        if len(piece.data) >= _LARGE_BYTES:
            return combine(crc, piece.crc32c, len(piece.data))
        piece = piece.data
    return google_crc32c.extend(crc, piece)


def combine(first: int, second: int, second_bytes: int) -> int:
    """The crc32c of two byte strings, one behind the other, by the crc32c of each.

    Args:
        first: crc32c of the one before.
        second: crc32c of the one behind.
        second_bytes: its length.
    """
    for power in range(second_bytes.bit_length()):
        if second_bytes >> power & 1:
            first = _multiply(_zero_bytes(power), first)
    return first ^ second


@functools.cache
def _zero_bytes(power: int) -> _Tables:
    """What appending 2**power zero bytes does to a crc, but for what is added at both ends."""
    if power:
        half = _zero_bytes(power - 1)
        columns = [_multiply(half, _multiply(half, 1 << bit)) for bit in range(32)]
    else:
        columns = [_append_zeros(1 << bit) for bit in range(32)]
    return [_table(columns[start : start + 4]) for start in range(0, 32, 4)]


def _append_zeros(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc


def _table(columns: Sequence[int]) -> list[int]:
    """The sums of each choice of columns, by the bits of the choice."""
    sums = [0]
    for column in columns:
        sums += [one ^ column for one in sums]
    return sums


def _multiply(tables: _Tables, crc: int) -> int:
    result = 0
    for table in tables:
        result ^= table[crc & 15]
        crc >>= 4
    return result
