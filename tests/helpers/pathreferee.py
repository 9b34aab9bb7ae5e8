"""Disputes about a path after Step without Script: a referee who knows what the leaves know, and provers who lie.

The referee holds what the prover signed against the rules that the leaves are to enforce, and hashes in Python. It
knows nothing of the truth but what a leaf knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from random import Random

from bitvm.game.opening import (
    PathOpening,
    close_fields,
    descend,
    entry_of,
    inside_fields,
    narrow,
    path_fields,
)
from bitvm.leaves.fields import ENTRIES, READS, WRITES, Kind
from bitvm.leaves.proof import Said
from lvm import isa
from lvm.boot import cpu_root
from lvm.hashing import leaf_hash, node_hash
from lvm.layout import CONTROL_BASE, HASH_BYTES, LEAF_BYTES, physical_word, register_address
from lvm.machine import StepRoots

Answer = Callable[[], PathOpening]
READ_FIELDS = {Kind.INSTR: "instr", Kind.RS1: "rs1", Kind.RS2: "rs2", Kind.MEM: "mem"}


# ---- the referee


@dataclass(frozen=True)
class Stated:
    """What the prover has signed before Path, and what follows from it for one kind."""

    kind: Kind
    step: StepRoots
    width: int = 16
    choices: tuple[int, ...] = (1,)
    root: bytes = b""
    """The root that the path has to start from: R_r, or prev_root; else one of the step's."""
    input_root: bytes = b""
    entry: int = 0x80

    @property
    def tops(self) -> dict[str, bytes]:
        """The nodes that Path has to say again."""
        a, m, b = self.step.a, self.step.m, self.step.b
        if self.kind in READS:
            return {"Path/top": a}
        return {
            Kind.DATA: {"Path/top": a, "Path/top_after": m},
            Kind.STATE: {"Path/top": m, "Path/top_after": b},
            Kind.LEFT: {"Path/top": self.root, "Path/before_0": a},
            Kind.RIGHT: {"Path/top": self.root, "Path/before_0": b},
            Kind.START: {"Path/top": self.root, "Path/top_after": a, "Path/input": self.input_root},
        }[self.kind]

    @property
    def address(self) -> int | None:
        """Where the word lies, None if there is none."""
        record = self.step.record
        return {
            Kind.CONTROL: CONTROL_BASE,
            Kind.INSTR: physical_word(record.before.window, record.pc),
            Kind.RS1: register_address(10 if record.instr == isa.ECALL_WORD else record.instr >> 15 & 31),
            Kind.RS2: register_address(record.instr >> 20 & 31),
            Kind.MEM: physical_word(record.before.window, record.address),
            Kind.DATA: record.write_address,
            Kind.STATE: CONTROL_BASE,
        }[self.kind]

    @property
    def place(self) -> int | None:
        if self.kind in ENTRIES:
            return entry_of(self.kind, self.choices, self.width)[1]
        if self.kind is Kind.START or self.address is None:
            return None
        return self.address // LEAF_BYTES

    def after_path(self, said: Said) -> bool:
        """Whether a small proof against Path holds."""
        false_place = self.place is not None and said.words["path.place"] != self.place
        return false_place or any(said.nodes[name] != node for name, node in self.tops.items())

    def after_inside(self, said: Said) -> bool:
        """Whether a proof against Inside holds, small or large."""
        nodes, gap, place = said.nodes, said.words["inside.gap"], said.words["path.place"]
        top = self.width.bit_length() - 2
        if self.kind in ENTRIES:
            upper = "Path/top" if gap == top else f"Path/before_{gap + 1}"
            return parent(nodes[f"Path/before_{gap}"], nodes["Inside/sibling_0"], place >> gap) != nodes[upper]
        if self.kind is Kind.START:
            return self._start(said, gap)
        if gap < 3:
            return False
        return self._leaf(said)

    def _start(self, said: Said, gap: int) -> bool:
        nodes = said.nodes
        wrong = nodes["Path/after_0"] != node_hash(self.input_root, cpu_root(self.entry))
        for side, top in (("before", "top"), ("after", "top_after")):
            low, between = nodes[f"Path/{side}_{gap}"], nodes[f"Inside/{side}_1"]
            if gap == 3:
                wrong |= node_hash(nodes["Inside/sibling_0"], low) != nodes[f"Path/{top}"]
            else:
                wrong |= node_hash(nodes["Inside/sibling_0"], low) != between
                wrong |= node_hash(nodes["Inside/sibling_1"], between) != nodes[f"Path/{side}_{gap + 1}"]
        return wrong

    def _leaf(self, said: Said) -> bool:
        record = self.step.record
        before, after = ([said.words.get(f"{name}.{j}", 0) for j in range(16)] for name in ("word", "after"))
        wrong = leaf_hash(leaf_of(before)) != said.nodes["Path/before_0"]
        if self.kind in WRITES:
            wrong |= leaf_hash(leaf_of(after)) != said.nodes["Path/after_0"]
        if self.kind is Kind.CONTROL:
            return wrong or before[:8] != list(record.before.to_words())
        if self.kind is Kind.STATE:
            return wrong or after[:8] != list(record.after.to_words()) or after[8:] != before[8:]
        if self.address is None:
            return wrong
        index = self.address % LEAF_BYTES // 4
        if self.kind is Kind.DATA:
            kept = all(before[j] == after[j] for j in range(16) if j != index)
            return wrong or after[index] != record.written or not kept
        return wrong or before[index] != getattr(record, READ_FIELDS[self.kind])

    def after_close(self, said: Said) -> bool:
        """Whether a proof against Close holds, small or large."""
        words, nodes = said.words, said.nodes
        gap, narrowed, turns = words["close.gap"], words["close.narrow"], words["close.turns"]
        wrong = turns != words["path.place"] >> 8 * gap + 2 * narrowed & 3
        for side, top in (("before", "Path/top"), ("after", "Path/top_after")):
            if side == "after" and self.kind in READS:
                break
            bottom = f"Inside/{side}_{narrowed}" if narrowed else f"Path/{side}_{gap}"
            above = top if gap == 2 else f"Path/{side}_{gap + 1}"
            above = above if narrowed == 3 else f"Inside/{side}_{narrowed + 1}"
            middle = nodes[f"Close/{side}"]
            wrong |= parent(nodes[bottom], nodes["Close/sibling_0"], turns) != middle
            wrong |= parent(middle, nodes["Close/sibling_1"], turns >> 1) != nodes[above]
        return wrong


def parent(child: bytes | None, sibling: bytes | None, turn: int) -> bytes:
    assert child is not None
    assert sibling is not None
    return node_hash(sibling, child) if turn & 1 else node_hash(child, sibling)


def leaf_of(words: Sequence[int]) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


def heard(messages: Mapping[str, object]) -> Said:
    """What the messages say."""
    words: dict[str, int] = {}
    nodes: dict[str, bytes | None] = {}
    for path, message in messages.items():
        if isinstance(message, bytes):
            assert len(message) == HASH_BYTES
            nodes[path] = message
            continue
        assert isinstance(message, tuple)
        assert all(0 <= symbol < 16 for symbol in message)
        if path == "Path/where":
            kind, level, *place = message
            words |= {"path.kind": kind, "path.level": level, "path.place": of_nibbles(place)}
        elif path == "Close/where":
            words |= dict(zip(("close.gap", "close.narrow", "close.turns"), message, strict=True))
        elif path == "Inside/gap":
            words["inside.gap"] = message[0]
        else:
            name, first = "after" if "after" in path else "word", 4 * int(path[-1])
            for j in range(4):
                words[f"{name}.{first + j}"] = of_nibbles(message[8 * j : 8 * j + 8])
    return Said(words, nodes)


def of_nibbles(nibbles: Sequence[int]) -> int:
    return sum(nibble << 4 * index for index, nibble in enumerate(nibbles))


def refuted(stated: Stated, truth: PathOpening, answer: Answer) -> bool:
    """Whether the honest challenger, who descends by the truth, comes to a proof; `answer` is called a message."""
    messages = path_fields(answer())
    if stated.after_path(heard(messages)):
        return True
    gap = descend(truth, heard(messages))
    if gap is None:
        return False
    messages |= inside_fields(answer(), gap)
    if stated.after_inside(heard(messages)):
        return True
    if truth.kind not in (*READS, *WRITES) or gap == 3:
        return False
    narrowed = narrow(truth, heard(messages), gap)
    if narrowed is None:
        return False
    messages |= close_fields(answer(), gap, narrowed)
    return stated.after_close(heard(messages))


def gaps_of(opening: PathOpening) -> list[tuple[int, int | None]]:
    """All questions that make sense."""
    if opening.kind in (*READS, *WRITES):
        return [*product(range(3), range(4)), (3, None)]
    return [(gap, None) for gap in range(opening.height if opening.kind in ENTRIES else 4)]


def check_irrefutable(stated: Stated, opening: PathOpening) -> None:
    """No question leads to a proof against truthful answers."""
    for gap, narrowed in gaps_of(opening):
        messages = path_fields(opening)
        assert not stated.after_path(heard(messages))
        messages |= inside_fields(opening, gap)
        assert not stated.after_inside(heard(messages)), gap
        if narrowed is not None:
            messages |= close_fields(opening, gap, narrowed)
            assert not stated.after_close(heard(messages)), (gap, narrowed)


# ---- liars


def other_bytes(rng: Random, node: bytes) -> bytes:
    """Another node: of one bit, or of all."""
    if rng.random() < 0.5:
        return (int.from_bytes(node) ^ 1 << rng.randrange(8 * HASH_BYTES)).to_bytes(HASH_BYTES)
    return rng.randbytes(HASH_BYTES)


def distorted(rng: Random, opening: PathOpening) -> PathOpening:
    """The opening with something false in it: a node, a sibling, words, or a run of nodes that fit together.

    What has to be said again stays: tops, and the entry at the foot of a list's path.
    """
    sides = {side: list(nodes) for side, nodes in opening.sides.items()}
    siblings, words = list(opening.siblings), {"words": opening.words, "after_words": opening.after_words}
    lowest = 1 if opening.kind in ENTRIES else 0
    height = len(siblings)
    nodes = sides[rng.choice(list(sides))]
    match rng.randrange(4):
        case 0 if lowest < height:
            place = rng.randrange(lowest, height)
            nodes[place] = other_bytes(rng, nodes[place])
        case 1:
            place = rng.randrange(height)
            siblings[place] = other_bytes(rng, siblings[place])
        case 2 if opening.words:
            name = rng.choice([name for name, value in words.items() if value])
            changed = list(words[name])
            changed[rng.randrange(16)] ^= 1 << rng.randrange(32)
            words[name] = tuple(changed)
            nodes = sides["after" if name == "after_words" else "before"]
            refold(nodes, opening, leaf_hash(leaf_of(changed)), 0, rng.randrange(height + 1))
        case _:
            first, last = sorted(rng.sample(range(lowest, height + 1), 2)) if lowest < height else (0, 0)
            refold(nodes, opening, rng.randbytes(HASH_BYTES), first, last)
    return replace(
        opening, before=tuple(sides["before"]), after=tuple(sides.get("after", ())), siblings=tuple(siblings), **words
    )


def refold(nodes: list[bytes], opening: PathOpening, node: bytes, first: int, last: int) -> None:
    """Put the path that starts with ``node`` into nodes[first:last]."""
    for place in range(first, last):
        nodes[place] = node
        node = parent(node, opening.siblings[place], opening.place >> place)


def liar(rng: Random, opening: PathOpening) -> Answer:
    """Answers each message anew, with up to three distortions."""

    def answer() -> PathOpening:
        found = opening
        for _ in range(rng.randrange(4)):
            found = distorted(rng, found)
        return found

    return answer
