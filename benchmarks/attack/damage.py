"""Ways to damage the bytes of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from benchmarks.attack.containers import change_inside

NUMBERS = [
    b"0", b"-1", b"1e999", b"-1e308", b"NaN", b"Infinity", b"null", b"1e-320", b"3.5", b"2147483648",
    b"18446744073709551616", b"9" * 400, b"0x10", b"true", b'"5"', b"[]", b"{}", b"",
]  # fmt: skip
INTEGERS = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
PIECES = [
    b"\0",
    b"\xff\xfe",
    b'"',
    b"\n",
    b"\r",
    b",",
    b";",
    b"\t",
    b"\x1b[31m",
    b"=1+1",
    b"\xc2\xa0",
    b"]" * 40,
]


def flip(content: bytes, rng: Random, other: bytes) -> bytes:
    """Flip one bit or a few bits."""
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def flip_early(content: bytes, rng: Random, other: bytes) -> bytes:
    """Flip a bit among the first hundred bytes, where headers are."""
    damaged = bytearray(content)
    damaged[rng.randrange(min(100, len(damaged)))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def truncate(content: bytes, rng: Random, other: bytes) -> bytes:
    """Cut off the end, or everything."""
    return content[: rng.choice([0, 1, 7, 8, rng.randrange(len(content)), len(content) - 1])]


def extend(content: bytes, rng: Random, other: bytes) -> bytes:
    """Append bytes."""
    return content + rng.choice([b"\0", b"\n\n\n", b"x", rng.randbytes(100), content])


def splice(content: bytes, rng: Random, other: bytes) -> bytes:
    """Join the beginning of the file and the end of another."""
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]


def replace_number(content: bytes, rng: Random, other: bytes) -> bytes:
    """Replace a number in the text by a hostile one."""
    places = list(re.finditer(rb"-?\d[\d.e+-]*", content[: 1 << 16]))
    if not places:
        return flip(content, rng, other)
    place = rng.choice(places)
    return content[: place.start()] + rng.choice(NUMBERS) + content[place.end() :]


def replace_integer(content: bytes, rng: Random, other: bytes) -> bytes:
    """Overwrite bytes by a hostile binary integer."""
    size, order = rng.choice([1, 2, 4, 8]), rng.choice(["little", "big"])
    value = rng.choice(INTEGERS) % (1 << (8 * size))
    at = rng.choice([rng.randrange(min(64, len(content))), rng.randrange(len(content))])
    return content[:at] + value.to_bytes(size, order) + content[at + size :]  # type: ignore[arg-type]


def insert(content: bytes, rng: Random, other: bytes) -> bytes:
    """Insert hostile bytes, once or many times."""
    at = rng.randrange(len(content))
    return content[:at] + rng.choice(PIECES) * rng.choice([1, 1, 1, 50, 200_000]) + content[at:]


def remove(content: bytes, rng: Random, other: bytes) -> bytes:
    """Remove bytes from the middle."""
    at = rng.randrange(len(content))
    return content[:at] + content[at + rng.choice([1, 2, 10, 100]) :]


def overwrite(content: bytes, rng: Random, other: bytes) -> bytes:
    """Overwrite a stretch with zeros or noise."""
    at, size = rng.randrange(len(content)), rng.choice([4, 16, 256])
    return content[:at] + rng.choice([bytes(size), rng.randbytes(size)]) + content[at + size :]


WAYS: Sequence[Callable[[bytes, Random, bytes], bytes]] = (
    flip, flip, flip_early, truncate, extend, splice, replace_number, replace_number, replace_integer, insert,
    remove, overwrite,
)  # fmt: skip


INSIDE = 0.4  # share of the damages of a container that are inside of it


def damage(content: bytes, rng: Random, other: bytes) -> bytes:
    """Damage a file in one way or two, or the content of a container; `other` is a file of another kind."""
    if rng.random() < INSIDE:
        inside = change_inside(content, rng, lambda part: damage_bytes(part, rng, other))
        if inside is not None:
            return inside
    return damage_bytes(content, rng, other)


def damage_bytes(content: bytes, rng: Random, other: bytes) -> bytes:
    """Damage bytes in one way or two."""
    for _ in range(rng.choice([1, 1, 1, 2])):
        content = rng.choice(WAYS)(content or b"\n", rng, other)
    return content
