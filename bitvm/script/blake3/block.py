"""BLAKE3 of a message that is one block, to 24 bytes, as fragments of Bitcoin Script: what `node` and `leaf` share.

**Precondition: every input nibble is a script number 0 to 15, minimally encoded or not, and this must have been
checked by somebody else.** Nothing here does. A one-time signature's digits are checked by the signature; a nibble out
of range makes OP_PICK read another table, so the fragment would answer nonsense.

Stack pictures are bottom to top; nibbles are in the order of `encoding.nibbles` (low half of a byte first). Two orders
of the items are possible: *rising*, with the last nibble of a list on top, and *falling*, with nibble 0 on top, as the
one-time keys of the claimed hash and of the message leave theirs, opened in this order.

Whatever lies below these items, and whatever is on the alt stack, stays as it is. Items below count towards the
consensus limit of 1,000: the builder's ``peak`` says how many items the fragment has on both stacks at most.

While the compression runs, with all inputs encoded (see `encoding`)::

    main   … message | tables | state (128) | at most 4 items at work
    alt    … claimed (48) | the rotor of one nibble

Messages lie below the tables, so that taking them away in the last round, where each is used for the last time, changes
no height. The claimed nibbles wait on the alt stack for the output nibbles, which come in the claimed ones' order.
"""

from __future__ import annotations

from functools import cache

from bitcoin.core import script as op

from bitvm.script.blake3.compression import Compression, message_name
from bitvm.script.blake3.encoding import ROW, SUM_BASE, XOR, TableBuilder
from bitvm.script.blake3.schedule import OUTPUT_WORDS

HASH_NIBBLES = 8 * OUTPUT_WORDS

SCALED_OUTPUT = 8 * 4
"""Nibbles of the hash's words 0 to 3. They and those of words 4 and 5 come in different encodings."""


@cache
def hash_differs(message_words: int, *, falling: bool = False) -> TableBuilder:
    """``… message claimed -> … differs``: true iff the first 24 bytes of the message's hash are not as claimed."""
    script = TableBuilder(message_names(message_words, falling=falling) + [""] * HASH_NIBBLES)
    with script.part("scale inputs"):
        if falling:
            _scaled_claim_to_alt(script)
            _summed_claim_to_alt(script)
        else:
            _summed_claim_to_alt(script)
            _scaled_claim_to_alt(script)
    compression = compress(script, message_words)
    with script.part("compare"):
        order = range(HASH_NIBBLES)
        for count, k in enumerate(order[::-1] if falling else order):
            _difference(script, compression, k, first=count == 0)
        for _ in range(HASH_NIBBLES - 1):
            script.binary(op.OP_BOOLOR)
        script.to_alt()
    with script.part("clean up"):
        script.drop_tables()
    with script.part("compare"):
        script.from_alt()
    return script


def message_names(message_words: int, *, falling: bool = False) -> list[str]:
    """Return the names of the message's nibbles on the stack, bottom first."""
    names = [message_name(word, i) for word in range(message_words) for i in range(8)]
    return names[::-1] if falling else names


def compress(script: TableBuilder, message_words: int) -> Compression:
    """``… message -> … tables state``."""
    with script.part("scale inputs"):
        for _ in range(8 * message_words):
            _scale_to_alt(script)
        script.from_alt(8 * message_words)
    with script.part("tables"):
        script.push_tables()
    compression = Compression(script, message_words)
    compression.run()
    return compression


def _scaled_claim_to_alt(script: TableBuilder) -> None:
    """Move what is claimed of words 0 to 3 from the top to the alt stack, scaled."""
    for _ in range(SCALED_OUTPUT):
        _scale_to_alt(script)


def _summed_claim_to_alt(script: TableBuilder) -> None:
    """Move what is claimed of words 4 and 5 from the top to the alt stack, as sums."""
    script.number(SUM_BASE)
    for _ in range(HASH_NIBBLES - SCALED_OUTPUT):  # n base -> base
        script.apply(op.OP_2DUP, 2, "", "", "", "")
        script.add()
        script.roll_at(2)
        script.duplicate()
        script.add()
        script.add()
        script.to_alt()
    script.drop()


def _scale_to_alt(script: TableBuilder) -> None:
    """``… n | … -> … | … 3n``."""
    name = script.stack[-1]
    script.duplicate()
    script.duplicate()
    script.add()
    script.add(name)
    script.to_alt()


def _difference(script: TableBuilder, compression: Compression, k: int, *, first: bool) -> None:
    """``… state | … claimed -> … state' difference | …``: zero iff nibble k of the hash is as claimed.

    Word w of the hash is state word w xor state word w + 8. Words 0 to 3 and 8 to 11 of the state are carried sums, so
    both can be the left operand of a xor with the scaled claimed nibble; words 4, 5, 12 and 13 are scaled, so there the
    claimed nibble is the left operand. The difference stays on the stack in place of the nibble rolled up; the first
    one is the additional item that makes all heights fit, so there nothing is rolled.
    """
    word, i = divmod(k, 8)
    low, high = compression.name(word, i), compression.name(word + 8, i)
    fetch = script.pick if first else script.roll
    script.from_alt()
    if k < SCALED_OUTPUT:
        fetch(low, "")
        script.look_up(ROW)
        script.add()
        script.look_up(XOR)
        script.pick(high)
        script.look_up(ROW)
        script.add()
        script.look_up(XOR)
    else:
        script.look_up(ROW)
        fetch(low, "")
        script.add()
        script.look_up(XOR)
        script.pick(high)
        script.binary(op.OP_NUMNOTEQUAL)
