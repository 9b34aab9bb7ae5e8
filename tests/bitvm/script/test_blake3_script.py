"""The BLAKE3 node hash in Script, judged by Core's engine and held against the `blake3` library."""

import hashlib
import random
from collections.abc import Sequence

import blake3
import pytest
from bitcoin.core import script as op
from hypothesis import given
from hypothesis import strategies as st

from bitvm.script.blake3 import (
    NibbleError,
    budget,
    from_nibbles,
    nibbles,
    node_hash,
    node_hash_differs,
    peak_stack_items,
)
from bitvm.script.builder import encode_number, push_number
from bitvm.script.engine import run_leaf

CONSENSUS_STACK_LIMIT = 1_000

DIFFERS = node_hash_differs()
AGREES = DIFFERS + bytes([op.OP_NOT])


def hash_nibbles(block: bytes) -> list[int]:
    return nibbles(blake3.blake3(block).digest()[:24])


def witness(block: bytes, claimed: Sequence[int]) -> list[bytes]:
    return [encode_number(n) for n in (*nibbles(block), *claimed)]


def changed(claimed: Sequence[int], position: int, difference: int) -> list[int]:
    wrong = list(claimed)
    wrong[position] ^= difference
    return wrong


def edge_blocks() -> list[bytes]:
    uniform = [bytes([byte]) * 48 for byte in (0x00, 0xFF, 0x0F, 0xF0)]
    mixed = [bytes(range(48)), bytes(24) + b"\xff" * 24]
    single_bits = [(1 << bit).to_bytes(48, "little") for bit in range(0, 384, 13)]
    return uniform + mixed + single_bits


def verdicts(block: bytes, claimed: Sequence[int]) -> tuple[bool, bool]:
    """Does the script say 'differs', and does its negation say 'agrees'? Both leaves really run to their end."""
    items = witness(block, claimed)
    return run_leaf(DIFFERS, items), run_leaf(AGREES, items)


@pytest.mark.parametrize("seed", range(20))
def test_random_blocks_are_judged_right_both_ways(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(15):
        block = rng.randbytes(48)
        right = hash_nibbles(block)
        assert verdicts(block, right) == (False, True)
        wrong = changed(right, rng.randrange(48), rng.randrange(1, 16))
        assert verdicts(block, wrong) == (True, False)


@pytest.mark.parametrize("block", edge_blocks(), ids=bytes.hex)
def test_edge_blocks_are_judged_right_both_ways(block: bytes) -> None:
    right = hash_nibbles(block)
    assert verdicts(block, right) == (False, True)
    assert verdicts(block, changed(right, 47, 8)) == (True, False)


@pytest.mark.parametrize("position", range(48))
def test_every_single_wrong_nibble_is_found(position: int) -> None:
    block = hashlib.sha384(bytes([position])).digest()
    right = hash_nibbles(block)
    for bit in range(4):
        assert verdicts(block, changed(right, position, 1 << bit)) == (True, False)


@pytest.mark.parametrize("position", range(0, 384, 8))
def test_every_message_nibble_matters(position: int) -> None:
    block = hashlib.sha384(bytes([position & 255])).digest()
    flipped = (int.from_bytes(block, "little") ^ 1 << position + position // 8 % 8).to_bytes(48, "little")
    assert verdicts(flipped, hash_nibbles(block)) == (True, False)


def test_all_nibbles_wrong_differs_too() -> None:
    block = bytes(48)
    assert verdicts(block, [n ^ 15 for n in hash_nibbles(block)]) == (True, False)


def test_left_and_right_exchanged_differs() -> None:
    left, right = bytes(range(24)), bytes(range(24, 48))
    assert verdicts(left + right, hash_nibbles(right + left)) == (True, False)


def test_non_minimal_nibbles_count_as_their_values() -> None:
    """Consensus lets a witness write 5 as 0x0500 and 0 as 0x00 or 0x80; the verdict must not depend on it."""
    block = bytes(range(100, 148))
    right = hash_nibbles(block)
    padded = [bytes([n, 0]) for n in (*nibbles(block), *right)]
    assert not run_leaf(DIFFERS, padded)
    assert run_leaf(AGREES, padded)
    negative_zero = [bytes([n]) if n else b"\x80" for n in (*nibbles(bytes(48)), *hash_nibbles(bytes(48)))]
    assert run_leaf(AGREES, negative_zero)


@pytest.mark.parametrize("block", [bytes(48), b"\xff" * 48, *(random.Random(9).randbytes(48) for _ in range(8))])
def test_node_hash_leaves_the_nibbles_in_order(block: bytes) -> None:
    expected = hash_nibbles(block)

    def leaf(top_first: Sequence[int]) -> bytes:
        compare = b"".join(push_number(n) + bytes([op.OP_NUMEQUALVERIFY]) for n in top_first)
        return node_hash() + compare + bytes([op.OP_DEPTH, op.OP_NOT])

    items = witness(block, [])
    assert run_leaf(leaf(expected[::-1]), items)
    assert not run_leaf(leaf(changed(expected, 0, 1)[::-1]), items)


def test_items_below_and_on_the_alt_stack_stay() -> None:
    block = b"below" * 9 + b"abc"
    above = DIFFERS + bytes([op.OP_NOT, op.OP_VERIFY, op.OP_FROMALTSTACK])
    compare = push_number(77) + bytes([op.OP_NUMEQUALVERIFY]) + push_number(55) + bytes([op.OP_NUMEQUAL])
    items = [encode_number(55), *witness(block, hash_nibbles(block)), encode_number(77)]
    assert run_leaf(bytes([op.OP_TOALTSTACK]) + above + compare, items)


def test_length_and_content_are_fixed() -> None:
    assert len(DIFFERS) == 41_007
    assert len(node_hash()) == 41_543
    assert node_hash_differs() == DIFFERS
    assert hashlib.sha256(DIFFERS).hexdigest() == "84be25b4ee00eab22713b066a14d356fed08883ab97ac410bb08fa41c862cb0d"


def test_budget_accounts_for_every_byte() -> None:
    parts = budget()
    assert sum(parts.values()) == len(DIFFERS)
    assert list(parts.values()) == sorted(parts.values(), reverse=True)
    assert {"carries", "xor", "rows", "reductions", "rotation by 7", "tables", "fetch message"} <= parts.keys()


def test_peak_stack_is_exact_on_the_engine() -> None:
    """With as much junk below as consensus leaves room for, the script runs; with one item more it does not."""
    assert peak_stack_items() == 852
    block = b"\x5a" * 48
    items = witness(block, hash_nibbles(block))

    def runs_above(junk: int) -> bool:
        clean_up = bytes([op.OP_NOT, op.OP_TOALTSTACK]) + bytes([op.OP_DROP]) * junk + bytes([op.OP_FROMALTSTACK])
        return run_leaf(DIFFERS + clean_up, [b""] * junk + items)

    room = CONSENSUS_STACK_LIMIT - peak_stack_items()
    assert runs_above(room)
    assert not runs_above(room + 1)


def test_an_unchecked_nibble_would_deceive() -> None:
    """Why the precondition is there: 16 in a message nibble is not refused here."""
    items = witness(bytes(48), hash_nibbles(bytes(48)))
    items[0] = encode_number(16)
    assert run_leaf(DIFFERS, items) or run_leaf(AGREES, items)


def test_nibbles_are_little_endian_words() -> None:
    word = 0x76543210
    assert nibbles(word.to_bytes(4, "little")) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert nibbles(b"\x1f") == [15, 1]
    assert nibbles(b"") == []


@given(st.binary(max_size=64))
def test_nibbles_round_trip(data: bytes) -> None:
    assert from_nibbles(nibbles(data)) == data


@pytest.mark.parametrize("values", [[1], [16, 0], [0, -1]])
def test_impossible_nibbles_are_refused(values: list[int]) -> None:
    with pytest.raises(NibbleError):
        from_nibbles(values)
