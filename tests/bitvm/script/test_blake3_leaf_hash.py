"""The BLAKE3 leaf hash in Script, and the falling order of both hashes, held against the `blake3` library."""

import random
from collections.abc import Sequence

import pytest
from bitcoin.core import CScript
from bitcoin.core import script as op
from blake3 import blake3

from bitvm.script.blake3 import leaf_hash_differs, nibbles, node_hash_differs
from bitvm.script.blake3.block import hash_differs
from bitvm.script.builder import encode_number
from bitvm.script.engine import run_leaf

CONSENSUS_STACK_LIMIT = 1_000
LEAF_BYTES, NODE_BYTES = 64, 48

RISING, FALLING = leaf_hash_differs(), leaf_hash_differs(falling=True)
NODE_FALLING = node_hash_differs(falling=True)


def witness(block: bytes, claimed: Sequence[int], *, falling: bool = False) -> list[bytes]:
    parts = [nibbles(block), list(claimed)]
    return [encode_number(n) for part in parts for n in (part[::-1] if falling else part)]


def hash_nibbles(block: bytes) -> list[int]:
    return nibbles(blake3(block).digest()[:24])


def changed(claimed: Sequence[int], position: int, difference: int) -> list[int]:
    wrong = list(claimed)
    wrong[position] ^= difference
    return wrong


def verdicts(script: bytes, items: Sequence[bytes]) -> tuple[bool, bool]:
    """Does the script say 'differs', and does its negation say 'agrees'? Both leaves really run to their end."""
    return run_leaf(script, items), run_leaf(script + bytes([op.OP_NOT]), items)


def check_both_ways(block: bytes, wrong_position: int, difference: int) -> None:
    right = hash_nibbles(block)
    wrong = changed(right, wrong_position, difference)
    scripts = [(FALLING, True), (RISING, False)] if len(block) == LEAF_BYTES else [(NODE_FALLING, True)]
    for script, falling in scripts:
        assert verdicts(script, witness(block, right, falling=falling)) == (False, True)
        assert verdicts(script, witness(block, wrong, falling=falling)) == (True, False)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("size", [NODE_BYTES, LEAF_BYTES])
def test_random_blocks_are_judged_right_both_ways(size: int, seed: int) -> None:
    rng = random.Random(seed)
    check_both_ways(rng.randbytes(size), rng.randrange(48), rng.randrange(1, 16))


@pytest.mark.parametrize("byte", [0x00, 0xFF, 0x0F, 0xF0])
@pytest.mark.parametrize("size", [NODE_BYTES, LEAF_BYTES])
def test_uniform_blocks_are_judged_right_both_ways(size: int, byte: int) -> None:
    check_both_ways(bytes([byte]) * size, 47, 8)


@pytest.mark.parametrize("position", range(48))
def test_every_single_wrong_nibble_is_found(position: int) -> None:
    block = random.Random(position).randbytes(LEAF_BYTES)
    wrong = changed(hash_nibbles(block), position, 1 << position % 4)
    assert verdicts(FALLING, witness(block, wrong, falling=True)) == (True, False)
    assert verdicts(RISING, witness(block, wrong)) == (True, False)


@pytest.mark.parametrize("position", range(128))
def test_every_message_nibble_matters(position: int) -> None:
    block = random.Random(position).randbytes(LEAF_BYTES)
    flipped = (int.from_bytes(block, "little") ^ 1 << 4 * position + position % 4).to_bytes(LEAF_BYTES, "little")
    assert verdicts(FALLING, witness(flipped, hash_nibbles(block), falling=True)) == (True, False)


def test_a_node_padded_with_zeros_is_no_leaf() -> None:
    """The block's length is hashed too."""
    node = bytes(range(NODE_BYTES))
    padded = node + bytes(LEAF_BYTES - NODE_BYTES)
    assert verdicts(RISING, witness(padded, hash_nibbles(node))) == (True, False)


def test_non_minimal_nibbles_count_as_their_values() -> None:
    block = bytes(range(100, 164))
    padded = [bytes([n, 0]) for n in (*nibbles(block)[::-1], *hash_nibbles(block)[::-1])]
    assert verdicts(FALLING, padded) == (False, True)


def test_items_below_and_on_the_alt_stack_stay() -> None:
    block = bytes(range(LEAF_BYTES))
    above = FALLING + bytes([op.OP_NOT, op.OP_VERIFY, op.OP_FROMALTSTACK])
    compare = bytes([1, 77, op.OP_NUMEQUALVERIFY, 1, 55, op.OP_NUMEQUAL])
    items = [encode_number(55), *witness(block, hash_nibbles(block), falling=True), encode_number(77)]
    assert run_leaf(bytes([op.OP_TOALTSTACK]) + above + compare, items)


def test_lengths_are_fixed_and_nothing_branches() -> None:
    """To be changed knowingly: the large leaves of the game are built on these."""
    assert [len(script) for script in (RISING, FALLING, NODE_FALLING)] == [42_322, 42_329, 41_014]
    for script in (RISING, FALLING, NODE_FALLING):
        assert not {op.OP_IF, op.OP_NOTIF} & {code for code, _, _ in CScript(script).raw_iter()}


@pytest.mark.parametrize(("words", "peak"), [(12, 852), (16, 884)])
def test_peak_stack_is_exact_on_the_engine(words: int, peak: int) -> None:
    """With as much junk below as consensus leaves room for, the script runs; with one item more it does not."""
    assert hash_differs(words, falling=True).peak == peak
    script = hash_differs(words, falling=True).script()
    block = b"\x5a" * (4 * words)
    items = witness(block, hash_nibbles(block), falling=True)

    def runs_above(junk: int) -> bool:
        clean_up = bytes([op.OP_NOT, op.OP_TOALTSTACK]) + bytes([op.OP_DROP]) * junk + bytes([op.OP_FROMALTSTACK])
        return run_leaf(script + clean_up, [b""] * junk + items)

    room = CONSENSUS_STACK_LIMIT - peak
    assert runs_above(room)
    assert not runs_above(room + 1)
