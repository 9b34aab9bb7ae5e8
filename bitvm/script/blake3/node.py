"""The hash of an inner node of the state tree, ``BLAKE3(left || right)[:24]``, as fragments of Bitcoin Script.

**Precondition: every input nibble is a script number 0 to 15, minimally encoded or not, and this must have been
checked by somebody else.** Nothing here does. A one-time signature's digits are checked by the signature; a nibble out
of range makes OP_PICK read another table, so the fragment would answer nonsense.

Stack pictures are bottom to top; nibbles are in the order of `encoding.nibbles` (low half of a byte first)::

    node_hash_differs    … left[0..47] right[0..47] claimed[0..47]  ->  … differs
    node_hash            … left[0..47] right[0..47]                 ->  … hash[0..47]

Whatever lies below these items, and whatever is on the alt stack, stays as it is. Items below count towards the
consensus limit of 1,000: see `peak_stack_items`.

While the compression runs, with all inputs encoded (see `encoding`)::

    main   … left right (96) | tables | state (128) | at most 4 items at work
    alt    … claimed[47..0] (48) | the rotor of one nibble

Messages lie below the tables, so that taking them away in the last round, where each is used for the last time, changes
no height. The claimed nibbles wait on the alt stack for the output nibbles, which come in the order 0 to 47.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from bitcoin.core import script as op

from bitvm.script.blake3.compression import Compression, message_name
from bitvm.script.blake3.encoding import PLAIN, PLAIN_BASE, ROW, SUM_BASE, XOR, TableBuilder
from bitvm.script.blake3.schedule import MESSAGE_WORDS, OUTPUT_WORDS

HASH_NIBBLES = 8 * OUTPUT_WORDS
MESSAGE_NIBBLES = 8 * MESSAGE_WORDS

_SCALED_OUTPUT = 8 * 4
"""Nibbles of the hash's words 0 to 3. They and those of words 4 and 5 need different encodings of what is claimed."""


def node_hash_differs() -> bytes:
    """``… left right claimed -> … differs``: true iff ``BLAKE3(left || right)[:24]`` is not what is claimed."""
    return _differs().script()


def node_hash() -> bytes:
    """``… left right -> … hash``: the 48 nibbles of ``BLAKE3(left || right)[:24]``."""
    return _hash().script()


def budget() -> Mapping[str, int]:
    """Return the bytes of node_hash_differs by part, the largest first."""
    parts = sorted(_differs().budget.items(), key=lambda part: -part[1])
    return MappingProxyType(dict(parts))


def peak_stack_items() -> int:
    """Return how many items node_hash_differs has on both stacks at most, its 144 inputs included."""
    return _differs().peak


@cache
def _differs() -> TableBuilder:
    script = TableBuilder(_message_names() + [f"claimed.{k}" for k in range(HASH_NIBBLES)])
    with script.part("scale inputs"):
        _claimed_to_alt(script)
    compression = _compress(script)
    with script.part("compare"):
        for k in range(HASH_NIBBLES):
            _difference(script, compression, k)
        for _ in range(HASH_NIBBLES - 1):
            script.binary(op.OP_BOOLOR)
        script.to_alt()
    with script.part("clean up"):
        script.drop_tables()
    with script.part("compare"):
        script.from_alt()
    return script


def _claimed_to_alt(script: TableBuilder) -> None:
    """``… claimed[0..47] | … -> … | … claimed[47..0]``: words 4 and 5 as sums, words 0 to 3 scaled."""
    script.number(SUM_BASE)
    for _ in range(HASH_NIBBLES - _SCALED_OUTPUT):  # w base -> base
        script.apply(op.OP_2DUP, 2, "", "", "", "")
        script.add()
        script.roll_at(2)
        script.duplicate()
        script.add()
        script.add()
        script.to_alt()
    script.drop()
    for _ in range(_SCALED_OUTPUT):
        _scale_to_alt(script)


def _difference(script: TableBuilder, compression: Compression, k: int) -> None:
    """``… state | … claimed -> … state' difference | …``: zero iff nibble k of the hash is as claimed.

    Word w of the hash is state word w xor state word w + 8. Words 0 to 3 and 8 to 11 of the state are carried sums, so
    both can be the left operand of a xor with the scaled claimed nibble; words 4, 5, 12 and 13 are scaled, so there the
    claimed nibble is the left operand. The difference stays on the stack in place of the nibble rolled up; the first
    one is the additional item that makes all heights fit, so there nothing is rolled.
    """
    word, i = divmod(k, 8)
    low, high = compression.name(word, i), compression.name(word + 8, i)
    script.from_alt()
    if k < _SCALED_OUTPUT:
        if k == 0:
            script.pick(low)
        else:
            script.roll(low, "")
        script.look_up(ROW)
        script.add()
        script.look_up(XOR)
        script.pick(high)
        script.look_up(ROW)
        script.add()
        script.look_up(XOR)
    else:
        script.look_up(ROW)
        script.roll(low, "")
        script.add()
        script.look_up(XOR)
        script.pick(high)
        script.binary(op.OP_NUMNOTEQUAL)


@cache
def _hash() -> TableBuilder:
    script = TableBuilder(_message_names())
    compression = _compress(script)
    with script.part("output"):
        for k in reversed(range(HASH_NIBBLES)):
            _output_nibble(script, compression, k)
            script.number(PLAIN_BASE)
            script.add()
            script.look_up(PLAIN)
            script.to_alt()
    with script.part("clean up"):
        script.drop_tables()
    with script.part("output"):
        script.from_alt(HASH_NIBBLES)
    return script


def _message_names() -> list[str]:
    return [message_name(word, i) for word in range(MESSAGE_WORDS) for i in range(8)]


def _compress(script: TableBuilder) -> Compression:
    """``… left right -> … tables state``."""
    with script.part("scale inputs"):
        for _ in range(MESSAGE_NIBBLES):
            _scale_to_alt(script)
        script.from_alt(MESSAGE_NIBBLES)
    with script.part("tables"):
        script.push_tables()
    compression = Compression(script)
    compression.run()
    return compression


def _scale_to_alt(script: TableBuilder) -> None:
    """``… n | … -> … | … 3n``."""
    name = script.stack[-1]
    script.duplicate()
    script.duplicate()
    script.add()
    script.add(name)
    script.to_alt()


def _output_nibble(script: TableBuilder, compression: Compression, k: int) -> None:
    """``… state -> … state' 3n``: nibble k of the hash; the encodings of the state are as in `_difference`."""
    word, i = divmod(k, 8)
    script.pick(compression.name(word + 8, i))
    if k < _SCALED_OUTPUT:
        script.look_up(ROW)
        script.look_up(XOR)  # with zero: reduces and scales
        script.roll(compression.name(word, i), "")
    else:
        script.roll(compression.name(word, i), "")
        script.number(SUM_BASE)
        script.add()
    script.look_up(ROW)
    script.add()
    script.look_up(XOR)
