"""Proofs that hash, as whole signed leaves under Core's engine, on paths of which everything was signed honestly.

A `Scene` is what an honest prover signs for one question: no proof may win on it, whatever keys it opens. Lies are made
by changing what one key says.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import pytest
from bitcoin.core import CScript
from bitcoin.core import script as op
from proofbench import Bench

from bitvm.leaves.fields import ENTRIES, READS, WRITES, Kind
from bitvm.leaves.path.refutation import close_refutations, inside_refutations
from bitvm.leaves.proof import Proof, Said
from bitvm.script.onetime import Signature
from bitvm.script.weight import compact_size_length
from lvm.hashing import leaf_hash, node_hash

HEIGHT, LIST_HEIGHT = 24, 6
CPU_ROOT = random.Random(24).randbytes(24)
INSIDE = {proof.name: proof for proof in inside_refutations(1 << LIST_HEIGHT, CPU_ROOT)}
CLOSE = {proof.name: proof for proof in close_refutations()}
PROOFS = INSIDE | CLOSE
BENCH = Bench()

Message = tuple[int, ...] | bytes
Messages = dict[str, Message]

named = pytest.mark.parametrize("name", PROOFS)


# ---- what an honest prover signs


def symbols(number: int, count: int) -> tuple[int, ...]:
    return tuple(number >> 4 * i & 15 for i in range(count))


def word_messages(prefix: str, leaf: bytes) -> Messages:
    groups = {f"Inside/{prefix}_{j}": leaf[16 * j : 16 * j + 16] for j in range(4)}
    return {path: symbols(int.from_bytes(group, "little"), 32) for path, group in groups.items()}


def fold_up(node: bytes, place: int, siblings: Mapping[int, bytes]) -> dict[int, bytes]:
    """Nodes by height, from that of the lowest sibling to the root."""
    nodes = {min(siblings): node}
    for height in sorted(siblings):
        pair = (siblings[height], nodes[height]) if place >> height & 1 else (nodes[height], siblings[height])
        nodes[height + 1] = node_hash(*pair)
    return nodes


def where(kind: Kind, place: int, level: int = 0) -> Messages:
    return {"Path/where": (kind, level, *symbols(place, 6))}


@dataclass(frozen=True)
class Tree:
    """A path of the state tree before and after a change of its leaf."""

    kind: Kind
    place: int
    leaves: Mapping[str, bytes]
    siblings: Mapping[int, bytes]

    @classmethod
    def random(cls, kind: Kind, rng: random.Random) -> Tree:
        leaves = {"before": rng.randbytes(64), "after": rng.randbytes(64)}
        siblings = {height: rng.randbytes(24) for height in range(HEIGHT)}
        return cls(kind, rng.randrange(1 << HEIGHT), leaves, siblings)

    @property
    def nodes(self) -> dict[str, dict[int, bytes]]:
        sides = ("before", "after") if self.kind in WRITES else ("before",)
        return {side: fold_up(leaf_hash(self.leaves[side]), self.place, self.siblings) for side in sides}

    def messages(self, gap: int, narrow: int = 0) -> Messages:
        said: Messages = where(self.kind, self.place) | {"Inside/gap": (gap,)}
        for side, nodes in self.nodes.items():
            said["Path/top" if side == "before" else "Path/top_after"] = nodes[HEIGHT]
            said |= {f"Path/{side}_{g}": nodes[8 * g] for g in range(3)}
            if gap == 3:
                said |= word_messages("words" if side == "before" else "after_words", self.leaves[side])
                continue
            said |= {f"Inside/{side}_{n}": nodes[8 * gap + 2 * n] for n in range(1, 4)}
            low = 8 * gap + 2 * narrow
            said[f"Close/{side}"] = nodes[low + 1]
            said |= {f"Close/sibling_{j}": self.siblings[low + j] for j in range(2)}
            said["Close/where"] = (gap, narrow, self.place >> low & 3)
        return said


def entry_messages(kind: Kind, gap: int, rng: random.Random, place: int | None = None) -> Messages:
    place = rng.randrange(1 << LIST_HEIGHT) if place is None else place
    siblings = {height: rng.randbytes(24) for height in range(LIST_HEIGHT)}
    nodes = fold_up(rng.randbytes(24), place, siblings)
    said: Messages = {f"Path/before_{height}": nodes[height] for height in range(LIST_HEIGHT)}
    said |= {"Path/top": nodes[LIST_HEIGHT], "Inside/gap": (gap,), "Inside/sibling_0": siblings[gap]}
    return said | where(kind, place, 3)


def start_messages(gap: int, rng: random.Random) -> Messages:
    siblings = {height: rng.randbytes(24) for height in range(17, HEIGHT)}
    data = rng.randbytes(24)
    low = {"before": rng.randbytes(24), "after": node_hash(data, CPU_ROOT)}
    said: Messages = where(Kind.START, 0) | {"Path/input": data, "Inside/gap": (gap,)}
    for side in ("before", "after"):
        nodes = fold_up(low[side], (1 << HEIGHT) - 1, siblings)
        said["Path/top" if side == "before" else "Path/top_after"] = nodes[HEIGHT]
        said |= {f"Path/{side}_{g}": nodes[17 + 2 * g] for g in range(4)}
        said[f"Inside/{side}_1"] = nodes[min(18 + 2 * gap, HEIGHT)]
    said |= {f"Inside/sibling_{j}": siblings[min(17 + 2 * gap + j, HEIGHT - 1)] for j in range(2)}
    return said


# ---- verdicts


def said_of(messages: Messages) -> Said:
    """Read messages as the position of a game does."""
    words: dict[str, int] = {}
    nodes: dict[str, bytes | None] = {}
    for path, message in messages.items():
        if isinstance(message, bytes):
            nodes[path] = message
            continue
        number = sum(symbol << 4 * i for i, symbol in enumerate(message))
        if path == "Path/where":
            words |= {"path.kind": message[0], "path.level": message[1], "path.place": number >> 8}
        elif path == "Close/where":
            words |= dict(zip(("close.gap", "close.narrow", "close.turns"), message, strict=True))
        elif path == "Inside/gap":
            words["inside.gap"] = number
        else:
            prefix, _, group = path.removeprefix("Inside/").rpartition("words_")
            first = 4 * int(group)
            name = "after" if prefix else "word"
            words |= {f"{name}.{first + j}": number >> 32 * j & 0xFFFFFFFF for j in range(4)}
    return Said(words, nodes)


@cache
def signature(path: str, message: Message) -> Signature:
    return BENCH.signatures({path: message})[path]


def verdict(proof: Proof, messages: Messages) -> bool:
    """Whether the leaf accepts; its twin in Python has to say the same."""
    hints = proof.wins(said_of(messages))
    accepted = BENCH.proof_accepts(proof, {path: signature(path, messages[path]) for path in proof.keys}, hints or ())
    assert accepted == (hints is not None), proof.name
    return accepted


@cache
def scene(name: str) -> Messages:
    """What an honest prover signs where the proof's conditions hold."""
    rng = random.Random(name)
    family, *rest = name.split(".")
    match family:
        case "leaf_hash":
            return Tree.random(Kind.MEM if rest[0] == "before" else Kind.STATE, rng).messages(gap=3)
        case "entry":
            height, turn = int(rest[0]), rest[1] == "right"
            place = rng.randrange(1 << LIST_HEIGHT) & ~(1 << height) | turn << height
            return entry_messages(rng.choice(ENTRIES), height, rng, place)
        case "start":
            return start_messages(0 if rest[0] == "base" else (int(rest[1]) - 17) // 2, rng)
    side, level, source, turn = rest[0], int(rest[1]), rest[2], rest[3] == "right"
    gap = 2 if source == "top" else rng.randrange(3) if source[0] == "i" else int(source[-1]) - level
    narrow = int(source[-1]) - level if source[0] == "i" else 3 * level
    tree = Tree.random(rng.choice(READS if side == "before" else WRITES), rng)
    bit = 8 * gap + 2 * narrow + level
    place = tree.place & ~(1 << bit) | turn << bit
    return Tree(tree.kind, place, tree.leaves, tree.siblings).messages(gap, narrow)


def hashed(proof: Proof) -> Iterator[str]:
    """Paths of the keys that the proof hashes or compares with a hash."""
    return (path for path in proof.keys if not path.endswith(("/where", "/gap")))


def changed(message: Message, rng: random.Random) -> Message:
    """The same with one bit or symbol changed."""
    if isinstance(message, bytes):
        return (int.from_bytes(message, "little") ^ 1 << rng.randrange(192)).to_bytes(24, "little")
    place = rng.randrange(len(message))
    return (*message[:place], message[place] ^ 1 << rng.randrange(4), *message[place + 1 :])


def a_lie(proof: Proof) -> Messages:
    """The proof's scene with a parent that is none."""
    claimed = next(hashed(proof))
    return scene(proof.name) | {claimed: changed(scene(proof.name)[claimed], random.Random(1))}


def symbols_of(messages: Messages, path: str) -> tuple[int, ...]:
    message = messages[path]
    assert isinstance(message, tuple)
    return message


def with_symbol(messages: Messages, path: str, place: int, symbol: int) -> Messages:
    old = symbols_of(messages, path)
    return messages | {path: (*old[:place], symbol, *old[place + 1 :])}


# ---- every proof


@named
def test_the_truth_is_rejected(name: str) -> None:
    assert not verdict(PROOFS[name], scene(name))


@named
def test_any_change_of_a_hashed_value_is_accepted(name: str) -> None:
    proof, rng = PROOFS[name], random.Random(name)
    assert verdict(proof, a_lie(proof))
    for path in list(hashed(proof))[1:]:
        assert verdict(proof, scene(name) | {path: changed(scene(name)[path], rng)})


@named
def test_a_lie_under_another_kind_is_rejected(name: str) -> None:
    """The fields of Path mean other heights there."""
    proof = PROOFS[name]
    family, side = name.split(".")[:2]
    tree = tuple(WRITES if side == "after" else (*READS, *WRITES))
    allowed = {"entry": ENTRIES, "start": (Kind.START,)}.get(family, tree)
    neighbours = {kind + step for kind in allowed for step in (-1, 1)} | {0, 15}
    for kind in neighbours & set(range(16)):
        assert verdict(proof, with_symbol(a_lie(proof), "Path/where", 0, kind)) == (kind in allowed)


@pytest.mark.parametrize("name", [name for name in INSIDE if "Inside/gap" in INSIDE[name].keys])
def test_a_lie_in_another_gap_of_path_is_rejected(name: str) -> None:
    proof = INSIDE[name]
    right = scene(name)["Inside/gap"]
    for gap in (0, 1, 5, 15):
        if (gap,) != right:
            assert not verdict(proof, with_symbol(a_lie(proof), "Inside/gap", 0, gap))


@pytest.mark.parametrize("name", CLOSE)
def test_a_lie_in_another_gap_of_inside_is_rejected(name: str) -> None:
    proof = CLOSE[name]
    lie = a_lie(proof)
    gap, narrow, turns = symbols_of(lie, "Close/where")
    assert not verdict(proof, with_symbol(lie, "Close/where", 1, (narrow + 1) % 4))
    assert not verdict(proof, with_symbol(lie, "Close/where", 1, narrow + 4))
    other = with_symbol(lie, "Close/where", 0, (gap + 1) % 3)
    assert verdict(proof, other) == ("inside" in name), "nodes of Inside are those of whatever gap it showed"
    level = int(name.split(".")[2])
    assert not verdict(proof, with_symbol(lie, "Close/where", 2, turns ^ 1 << level))
    assert verdict(proof, with_symbol(lie, "Close/where", 2, turns ^ 2 >> level))
    assert verdict(proof, with_symbol(lie, "Close/where", 2, turns | 12)), "other proofs win here too"


@pytest.mark.parametrize("name", [name for name in INSIDE if name.startswith("entry")])
def test_an_entry_that_turns_the_other_way_is_rejected(name: str) -> None:
    proof = INSIDE[name]
    _, height, turn = name.split(".")
    digit, bit = divmod(int(height), 4)
    lie = a_lie(proof)
    for symbol in range(16):
        moved = with_symbol(lie, "Path/where", 2 + digit, symbol)
        assert verdict(proof, moved) == (symbol >> bit & 1 == (turn == "right"))


def test_exchanged_children_are_refuted() -> None:
    for name, proof in PROOFS.items():
        if name.startswith(("leaf_hash", "start.base")):
            continue
        left, right = proof.keys[-2:]
        said = scene(name)
        assert verdict(proof, said | {left: said[right], right: said[left]})


# ---- honest provers


def honest() -> Iterator[Messages]:
    rng = random.Random(77)
    for kind in (Kind.INSTR, Kind.DATA, Kind.STATE):
        yield from (Tree.random(kind, rng).messages(gap, rng.randrange(4)) for gap in range(3))
        yield Tree.random(kind, rng).messages(3)
    for kind in ENTRIES:
        yield from (entry_messages(kind, gap, rng) for gap in range(0, LIST_HEIGHT, 2))
    yield from (start_messages(gap, rng) for gap in range(4))


def test_no_proof_at_all_wins_against_honest_paths() -> None:
    tried = 0
    for messages in honest():
        for proof in PROOFS.values():
            if messages.keys() >= set(proof.keys):
                tried += 1
                assert not verdict(proof, messages), proof.name
    assert tried > 300


def test_every_gap_has_a_proof_for_each_wrong_hash() -> None:
    """Twins only: whichever node of a narrow gap is wrong, one of the proofs at Close wins, and none if none is."""
    rng = random.Random(5)
    for gap in range(3):
        for narrow in range(4):
            messages = Tree.random(Kind.DATA, rng).messages(gap, narrow)
            for side in ("before", "after"):
                lie = messages | {f"Close/{side}": rng.randbytes(24)}
                winners = [name for name, proof in CLOSE.items() if proof.wins(said_of(lie)) is not None]
                assert [name.split(".")[1:3] for name in winners] == [[side, "0"], [side, "1"]]


def test_random_statements_are_judged_alike() -> None:
    rng = random.Random(8)
    verdicts = []
    for _ in range(150):
        proof = PROOFS[rng.choice(list(PROOFS))]
        messages = dict(scene(proof.name))
        for _ in range(rng.randrange(3)):
            path = rng.choice(proof.keys)
            messages[path] = changed(messages[path], rng)
        verdicts.append(verdict(proof, messages))
    assert 30 < sum(verdicts) < 120


# ---- the leaves


def test_numbers_that_are_not_minimal_mean_the_same() -> None:
    for name in ("leaf_hash.after", "entry.5.right", "start.after.20", "start.base", "compress.before.1.top.left"):
        proof = PROOFS[name]
        leaf, spender = BENCH.proof_leaf(proof), BENCH._proof_spender(proof, "challenger")
        for messages, expected in ((a_lie(proof), True), (scene(name), False)):
            signatures = {path: signature(path, messages[path]) for path in proof.keys}
            items = leaf.witness([BENCH.challenger.sign(spender.sighash())], signatures, ())
            digits = sum(BENCH.public[path].scheme.slots for path in proof.keys)
            padded = [item + b"\x00" for item in items[:digits]]
            assert spender.accepts([*padded, *items[digits:]]) == expected


def test_only_the_challenger_may_use_a_leaf() -> None:
    proof = PROOFS["entry.0.left"]
    signatures = {path: signature(path, a_lie(proof)[path]) for path in proof.keys}
    leaf, spender = BENCH.proof_leaf(proof), BENCH._proof_spender(proof, "challenger")
    assert spender.accepts(leaf.witness([BENCH.challenger.sign(spender.sighash())], signatures, ()))
    assert not spender.accepts(leaf.witness([BENCH.prover.sign(spender.sighash())], signatures, ()))


def test_leaves_are_few_large_and_unique() -> None:
    assert len(INSIDE) == 29
    assert len(CLOSE) == 48
    assert len(inside_refutations(4, CPU_ROOT)) == 21
    assert all(proof.large and not proof.hints for proof in PROOFS.values())


def test_scripts_relay_and_weigh_what_was_promised() -> None:
    """No branch, no push of more than 256 bytes; whole witnesses but for the control block, in weight units."""
    heaviest: dict[str, int] = {}
    for name, proof in PROOFS.items():
        leaf = BENCH.proof_leaf(proof)
        script, sizes = leaf.script, leaf.item_sizes()
        for code, data, _ in CScript(script).raw_iter():
            assert code not in {op.OP_IF, op.OP_NOTIF}
            assert len(data or b"") <= 256
        weight = sum(compact_size_length(size) + size for size in (*sizes, len(script)))
        family = name.split(".")[0] if name != "start.base" else name
        heaviest[family] = max(heaviest.get(family, 0), weight)
    assert heaviest == {
        "leaf_hash": 57_134,
        "entry": 53_688,
        "start": 53_659,
        "start.base": 49_707,
        "compress": 53_813,
    }
