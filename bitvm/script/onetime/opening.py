"""One key is opened: its list is pushed, each slot takes its value out of it, what is left is dropped.

A graph opens thousands of keys of a dozen schemes, and only the public values differ. So the script is written once for
a scheme and a place of its digits, is cut where the public values stand, and is put together for each key.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from typing import NamedTuple

from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime.chain import VALUE_BYTES, descent_opcodes, item_bytes
from bitvm.script.onetime.public import PublicKey

_BLANK = bytes(VALUE_BYTES)


class _Opening(NamedTuple):
    """What is the same for all keys of a scheme.

    before: the script before each public value, in the order in which the values are pushed. rest: after the last one.
    secrets: items taken from the alt stack. rise: items that the stacks hold at most more than before.
    """

    before: tuple[bytes, ...]
    rest: bytes
    secrets: int
    rise: int


def open_key(b: ScriptBuilder, key: PublicKey, digits: Sequence[str] | None) -> None:
    """Open all slots of a key: ``… | … secrets -> … | …``; the indices come before each secret, or are `digits`.

    The digits lie together on the main stack, slot 0 on top.
    """
    scheme = key.scheme
    above = None if digits is None else b.depth(digits[0])
    opening = _opening(scheme.levels, scheme.chains, scheme.width, above)
    values = chain(reversed(key.values[: scheme.width]), key.values[scheme.width :])
    filled = [part for pair in zip(opening.before, values, strict=True) for part in pair]
    b.fragment(b"".join([*filled, opening.rest]), 0, from_alt=opening.secrets, rise=opening.rise)


@lru_cache(maxsize=1 << 10)
def _opening(levels: tuple[int, ...], chains: int, width: int, above: int | None) -> _Opening:
    """Write the script with blank values; `above` counts the items above the digit of slot 0, None without digits."""
    digits = [] if above is None else [*map(_digit, reversed(range(len(levels)))), *[""] * above]
    b = ScriptBuilder(digits)
    b.alt = [""] * len(levels) * (2 if above is None else 1)
    secrets = len(b.alt)
    ends = list(_write(b, levels, chains, width, used=above is not None))
    script, starts = b.script(), [0, *ends]
    before = tuple(script[start : end - VALUE_BYTES] for start, end in pairwise(starts))
    return _Opening(before, script[starts[-1] :], secrets, b.peak - secrets - len(digits))


def _write(b: ScriptBuilder, levels: Sequence[int], chains: int, width: int, *, used: bool) -> Iterator[int]:
    """Write the script, and yield its length after each value."""
    for _ in range(width):
        b.data(_BLANK)
        yield len(b)
    for slot, level in enumerate(levels):
        if used:
            b.pick(_digit(slot))
        else:
            b.from_alt()
        b.apply(op.OP_ROLL, 1)  # … list value: as many items as before, the index gone
        b.from_alt()
        require_size(b, item_bytes(level))
        b.apply(descent_opcodes(level), 1, "")
        b.apply(op.OP_EQUALVERIFY, 2)
        if width + slot < chains:
            b.data(_BLANK)
            yield len(b)
    b.drop(chains - len(levels))


def _digit(slot: int) -> str:
    return f"digit {slot}"


def require_size(b: ScriptBuilder, size: int) -> None:
    """``… secret -> … secret``; fails unless it has `size` bytes."""
    b.apply(op.OP_SIZE, 1, "", "")
    b.number(size)
    b.apply(op.OP_EQUALVERIFY, 2)
