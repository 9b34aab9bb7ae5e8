"""What provers say about paths, honestly and not, and small proofs against it under Core's engine, bodies alone.

One `Bench` holds the keys; with them whole leaves are tried too. A `Said` here holds words and choices only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from random import Random

from bitcoin.core import script as op
from leafbench import Spender
from proofbench import Bench
from steps import random_machine

from bitvm.leaves.fields import Kind, numbers
from bitvm.leaves.proof import Hints, Proof, Said, proof_builder
from bitvm.leaves.statement import FIELDS, nibble, words_of
from bitvm.leaves.step import index_symbols
from bitvm.script.builder import encode_number
from lvm.control import CONTROL_FIELDS
from lvm.layout import CONTROL_BASE, CPU_BASE, LEAF_BYTES, physical_word, register_address
from lvm.record import StepRecord
from lvm.spec.interpreter import SpecMachine

LEVELS, WIDTH = 5, 64
BENCH = Bench(LEVELS, WIDTH)

HINT_RANGES: Mapping[str, int] = {"index": 6, "word": 4, "nibble": 8}
LEAF_KINDS = tuple(kind for kind in Kind if kind <= Kind.STATE)
ODD_NUMBERS = (-1, -8, 4, 6, 8, 16, 31, 32, 127, -(2**31) + 1, 2**31 - 1)


# ---- honest statements


def _leaf(machine: SpecMachine, place: int) -> list[int]:
    return [machine.read_word(place * LEAF_BYTES + 4 * index) for index in range(16)]


def _crowd(rng: Random, machine: SpecMachine, address: int) -> None:
    """Write random words around an address of memory, so that no two words of its leaf are alike."""
    first = address & ~(LEAF_BYTES - 1)
    for other in range(first, first + LEAF_BYTES, 4):
        if other < CPU_BASE and machine.read_word(other) == 0:
            machine.write_state_word(other, rng.getrandbits(32))


def _address(record: StepRecord, kind: Kind) -> int | None:
    """Byte address of the word that a path of this kind is about, as `lvm.record` says; None if there is none."""
    match kind:
        case Kind.INSTR:
            return (record.before.window | record.pc) & 0x3FFF_FFFC
        case Kind.RS1:
            return register_address(10 if record.instr == 0x73 else record.instr >> 15 & 31)
        case Kind.RS2:
            return register_address(record.instr >> 20 & 31)
        case Kind.MEM:
            return (record.before.window | record.address) & 0x3FFF_FFFC
        case Kind.DATA:
            return record.write_address
    return CONTROL_BASE


def honest(rng: Random, kind: Kind, name: str | None = None, *, user: bool | None = None) -> Said:
    """A true statement of one random step, with a true path of this kind; if nothing is written, DATA is any path."""
    seed = rng.getrandbits(64)
    preview = random_machine(Random(seed), name, user=user).step()
    machine = random_machine(Random(seed), name, user=user)
    for seen in (preview.pc, preview.address):
        _crowd(rng, machine, physical_word(preview.before.window, seen))
    before = machine.snapshot()
    record = machine.step()
    address = _address(record, kind)
    place = rng.getrandbits(24) if address is None else address // LEAF_BYTES
    after_leaf = _leaf(machine, place)
    machine.restore(before)
    leaf = _leaf(machine, place)
    words = words_of(record) | {"path.kind": int(kind), "path.level": rng.randrange(16), "path.place": place}
    words |= {f"word.{index}": word for index, word in enumerate(leaf)}
    after_words = leaf if address is None else after_leaf
    words |= {f"after.{index}": word for index, word in enumerate(after_words)}
    return Said(words, choices=tuple(rng.randrange(WIDTH) for _ in range(LEVELS)))


def changed(said: Said, **words: int) -> Said:
    """The same, but for some words; a dot in a name is written as two underscores."""
    return Said({**said.words, **{name.replace("__", "."): word for name, word in words.items()}}, choices=said.choices)


def flipped(said: Said, word: str, bit: int) -> Said:
    """The same with one bit of a word flipped."""
    return Said({**said.words, word: said.words[word] ^ 1 << bit}, choices=said.choices)


def control_words(kind: Kind) -> Iterator[tuple[str, str]]:
    """The names in Step and in the leaf of each control word that a path of kind CONTROL or STATE is about."""
    for index, field in enumerate(CONTROL_FIELDS):
        if kind == Kind.CONTROL:
            yield field, f"word.{index}"
        else:
            yield "next_pc" if field == "pc" else f"after_{field}", f"after.{index}"


# ---- numbers


def number(said: Said, name: str, width: int = WIDTH) -> int:
    """The number that the prover signs under a name of `bitvm.leaves.fields.numbers`."""
    if name in said.words:
        return said.words[name]
    word, _, index = name.rpartition(".")
    if word == "t":
        return index_symbols(said.choices, width)[int(index)]
    shift = FIELDS[word].shift if word in FIELDS else 0
    return nibble(said.words[word] >> shift, int(index))


def messages(proof: Proof, said: Said) -> dict[str, tuple[int, ...]]:
    """What the keys of a proof sign, by path."""
    return {path: tuple(number(said, name) for name in numbers(path, BENCH.public[path].scheme)) for path in proof.keys}


# ---- bodies alone


@cache
def _body(proof: Proof, bench: Bench) -> Spender:
    builder = proof_builder(proof, bench.public)
    proof.body(builder)
    builder.drop(len(builder.stack))
    builder.number(1)
    return Spender(bytes([op.OP_TOALTSTACK]) * len(proof.hints) + builder.script())


def body_items(proof: Proof, said: Said, bench: Bench = BENCH) -> list[bytes]:
    """The numbers of the proof's keys as witness items, bottom first."""
    names = [name for path in proof.keys for name in numbers(path, bench.public[path].scheme)]
    return [encode_number(number(said, name, bench.width)) for name in reversed(names)]


def accepts_items(proof: Proof, items: Sequence[bytes], bench: Bench = BENCH) -> bool:
    return _body(proof, bench).accepts(items)


def accepts(proof: Proof, said: Said, hints: Sequence[int], bench: Bench = BENCH) -> bool:
    """Whether the body accepts these numbers and hints."""
    return accepts_items(proof, [*body_items(proof, said, bench), *map(encode_number, hints)], bench)


# ---- questions


def all_hints(proof: Proof) -> list[Hints]:
    """Every combination of hints that is in range."""
    return list(product(*(range(HINT_RANGES[name]) for name in proof.hints)))


def odd_hints(proof: Proof, rng: Random, count: int) -> list[Hints]:
    """Hints of which one at least is, mostly, out of range."""
    every = (*ODD_NUMBERS, *range(8))
    return [tuple(rng.choice(every) for _ in proof.hints) for _ in range(count)] if proof.hints else [()]


def assert_helpless(proofs: Sequence[Proof], said: Said, rng: Random) -> None:
    """No proof may accept, whatever the hints, those out of range among them."""
    for proof in proofs:
        assert proof.wins(said) is None, (proof.name, said)
        for hints in (*all_hints(proof), *odd_hints(proof, rng, 3)):
            assert not accepts(proof, said, hints), (proof.name, hints, said)


def assert_caught(proofs: Sequence[Proof], said: Said) -> tuple[Proof, Hints]:
    """At least one proof says that it wins, and all that say so do. Returns the first."""
    winning = [(proof, hints) for proof in proofs if (hints := proof.wins(said)) is not None]
    assert winning, said
    for proof, hints in winning:
        assert accepts(proof, said, hints), (proof.name, hints, said)
    return winning[0]


def assert_agree(proof: Proof, said: Said, rng: Random) -> bool:
    """The twin knows hints that the body accepts, or the body accepts none."""
    hints = proof.wins(said)
    if hints is not None:
        assert accepts(proof, said, hints), (proof.name, hints, said)
        return True
    tried = all_hints(proof)
    for other in (*rng.sample(tried, min(4, len(tried))), *odd_hints(proof, rng, 1)):
        assert not accepts(proof, said, other), (proof.name, other, said)
    return False


def padded(rng: Random, item: bytes) -> bytes:
    """The same number in another encoding that consensus reads: superfluous zero bytes, a negative zero."""
    if not item:
        return rng.choice((b"", b"\x00", b"\x80", b"\x00\x00", b"\x00\x80", b"\x00\x00\x00\x00"))
    sign, body = item[-1] & 0x80, item[:-1] + bytes([item[-1] & 0x7F])
    longer = body + bytes(rng.randrange(5 - len(body)))
    return longer[:-1] + bytes([longer[-1] | sign])


def assert_encodings_do_not_matter(proof: Proof, winning: Said, losing: Said, rng: Random) -> None:
    """Padded numbers and hints give the same verdict; hints that are no numbers fail."""
    hints = proof.wins(winning)
    assert hints is not None
    assert proof.wins(losing) is None
    for said, verdict in ((winning, True), (losing, False)):
        items = [padded(rng, item) for item in [*body_items(proof, said), *map(encode_number, hints)]]
        assert accepts_items(proof, items) == verdict, (proof.name, items)
    for place in range(len(hints)):
        for odd in (b"\x00" * 5, b"\x01\x00\x00\x00\x00", bytes(20), bytes(520)):
            items = [*body_items(proof, winning), *map(encode_number, hints)]
            items[len(items) - len(hints) + place] = odd
            assert not accepts_items(proof, items), (proof.name, odd)


# ---- whole leaves


def leaf_accepts(proof: Proof, said: Said, hints: Sequence[int], mover: str = "challenger") -> bool:
    """Whether the signed leaf accepts."""
    return BENCH.proof_accepts(proof, BENCH.signatures(messages(proof, said)), hints, mover)
