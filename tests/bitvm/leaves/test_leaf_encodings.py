"""What Script accepts beyond what this project writes: padded numbers, typed signatures, statements that are garbage.

A body gets nibbles in whatever encoding the challenger likes, and words as senseless as the prover likes.
"""

import random
from collections import Counter

import pytest
from bitcoin.core import CTransaction, CTxInWitness, CTxWitness
from bitcoin.core import script as op
from bitcoin.core.script import CScript, CScriptWitness
from leafbench import LEAVES, body_accepts, body_accepts_items, body_items, lies, some_hints
from offline import OfflineGame
from small_run import honest, lying, parameters
from steps import random_step

from bitvm.game import challenger, prover
from bitvm.game.moves import Move
from bitvm.game.position import Confirmed, Position
from bitvm.leaves.execution.base import body_builder
from bitvm.leaves.execution.catalogue import winning_leaves
from bitvm.leaves.statement import GROUPS, words_from_nibbles, words_of
from bitvm.script.builder import encode_number
from bitvm.script.engine import failing_input
from bitvm.script.sighash import taproot_sighash

NOT_NUMERIC = {
    *(op.OP_EQUAL, op.OP_EQUALVERIFY, op.OP_SIZE, op.OP_DEPTH, op.OP_IFDUP),
    *(op.OP_HASH160, op.OP_HASH256, op.OP_SHA256, op.OP_SHA1, op.OP_RIPEMD160),
}
"""Opcodes to which two encodings of one number are two things.

OP_VERIFY takes any zero for false; OP_IF, in tapscript, fails on all but two items, so a challenger only hurts itself.
"""


def padded(item: bytes, rng: random.Random) -> bytes:
    """Another encoding, of at most four bytes, of a small number."""
    negative = bool(item) and item[-1] >= 0x80
    magnitude = item[:-1] + bytes([item[-1] & 0x7F]) if item else b""
    size = rng.randint(max(1, len(item)), 4)
    body = magnitude.ljust(size, b"\0")
    minus_zero = not any(magnitude) and rng.random() < 0.5
    return body[:-1] + bytes([body[-1] | 0x80]) if negative or minus_zero else body


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_bodies_compute_with_numbers_only(name):
    builder = body_builder(LEAVES[name])
    LEAVES[name].body(builder)
    opcodes = {opcode for opcode, _, _ in CScript(builder.script()).raw_iter()}
    assert not opcodes & NOT_NUMERIC


def test_the_encoding_of_nibbles_and_hints_does_not_matter():
    """A lie loses and the truth holds whatever zeros, and whatever sign of zero, the challenger puts into the items."""
    rng = random.Random(1)
    tried = Counter()
    while len(tried) < len(LEAVES):
        truth = words_of(random_step(rng))
        for _, lie in lies(truth, rng):
            for leaf, hints in winning_leaves(lie):
                if tried[leaf.name] < 10:
                    tried[leaf.name] += 1
                    _judge_in_strange_encodings(leaf, lie, truth, hints, rng)


def _judge_in_strange_encodings(leaf, lie, truth, hints, rng):
    raw_hints = [encode_number(hint) for hint in hints]
    strange_hints = [padded(hint, rng) for hint in raw_hints]
    strange = [padded(item, rng) for item in body_items(leaf, lie)]
    assert body_accepts_items(leaf, [*strange, *raw_hints]), leaf.name
    same = [padded(item, rng) for item in body_items(leaf, truth)]
    assert not body_accepts_items(leaf, [*same, *raw_hints]), leaf.name
    assert not body_accepts_items(leaf, [*same, *strange_hints]), leaf.name
    for place in range(len(raw_hints)):
        for unreadable in (bytes(5), rng.randbytes(20), rng.randbytes(81)):
            wrong = [*raw_hints[:place], unreadable, *raw_hints[place + 1 :]]
            assert not body_accepts_items(leaf, [*strange, *wrong]), leaf.name


def test_no_encoding_makes_a_true_statement_false():
    rng = random.Random(2)
    for _ in range(40):
        truth = words_of(random_step(rng))
        for leaf in LEAVES.values():
            items = [padded(item, rng) if rng.random() < 0.5 else item for item in body_items(leaf, truth)]
            for hints in some_hints(leaf, rng, 1):
                assert not body_accepts_items(leaf, [*items, *(padded(encode_number(h), rng) for h in hints)])


def test_garbage_is_judged_alike_by_script_and_twin():
    """The prover signs what no machine does; the challenger's search must neither crash nor hope for a leaf in vain."""
    rng = random.Random(3)
    judged = 0
    for trial in range(60):
        extreme = trial % 3 == 0
        words = {}
        for name, group in GROUPS.items():
            nibbles = [rng.choice((0, 15)) if extreme else rng.randrange(16) for _ in range(group.nibbles)]
            words |= words_from_nibbles(name, nibbles)
        words["outcome"] = trial % 16
        words["instr"] = words["instr"] & ~0x7F | rng.choice(
            (0x03, 0x13, 0x23, 0x33, 0x63, 0x67, 0x6F, 0x37, 0x17, 0x73)
        )
        for leaf in LEAVES.values():
            hints = leaf.wins(words)
            if hints is not None:
                judged += 1
                assert body_accepts(leaf, words, hints), (leaf.name, words)
            else:
                for guess in some_hints(leaf, rng, 2)[:2]:
                    assert not body_accepts(leaf, words, guess), (leaf.name, words, guess)
    assert judged > 200


# ---- typed signatures


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    """A dispute about a false claim, up to Step."""
    game = OfflineGame(parameters(), tmp_path_factory.mktemp("typed"))
    game.confirm("1/Step", game.play({"prover": lying("written"), "challenger1": honest()}, "1/Step"))
    return game


def retyped(game: OfflineGame, name: str, hash_type: int, annex: bytes | None = None) -> CTransaction:
    """The confirmed transaction with the mover's own signature made again, for another sighash type: 65 bytes."""
    template, confirmed = game.graph[name], game.confirmed[name].transaction
    spent = template.inputs[0]
    leaf = spent.leaf(spent.leaves[0])
    leaf_hash = spent.source.output(spent.output).tree.leaf_hash(leaf.name)
    sighash = taproot_sighash(
        template.unsigned, template.spent, 0, leaf_hash=leaf_hash, hash_type=hash_type, annex=annex
    )
    signature = game.secrets[template.mover].covenant.sign(sighash) + bytes([hash_type])
    stacks = [list(w.scriptWitness.stack) for w in confirmed.wit.vtxinwit]
    stacks[0][-3 - leaf.signers.index(template.mover)] = signature
    stacks[0] += [annex] if annex is not None else []
    wit = CTxWitness([CTxInWitness(CScriptWitness(stack)) for stack in stacks])
    return CTransaction(confirmed.vin, confirmed.vout, confirmed.nLockTime, confirmed.nVersion, wit)


@pytest.mark.parametrize("hash_type", [1, 2, 3, 0x81, 0x82, 0x83])
@pytest.mark.parametrize("name", ["Claim", "1/Choice_1", "1/Reveal_2", "1/Choice_2", "1/Step"])
def test_a_move_with_a_typed_signature_is_read(game, name, hash_type):
    """It confirms under the same id, so whoever has to answer it must be able to read it."""
    transaction = retyped(game, name, hash_type)
    assert transaction.GetTxid() == game.confirmed[name].transaction.GetTxid()
    assert failing_input(transaction, game.graph[name].spent) is None
    before = {}
    for confirmed, seen in game.confirmed.items():
        before[confirmed] = Confirmed(transaction, seen.height) if confirmed == name else seen
        if confirmed == name:
            break
    position = Position(game.graph, game.height, before)
    if name == "Claim":
        assert challenger.judge(position, honest()).verdict is challenger.Verdict.INVALID
    if game.graph[name].mover == "prover":
        answer = challenger.decide(position, honest(), 1)["1"]
    else:
        answer = prover.decide(position, lying("written"))["1"]
    assert isinstance(answer, Move), answer


@pytest.mark.parametrize("name", ["Claim", "1/Choice_1", "1/Reveal_2", "1/Choice_2", "1/Step"])
def test_a_move_has_no_annex(game, name):
    """It would shift the items that a reader counts from the top; the opponent signed that there is none."""
    assert failing_input(retyped(game, name, 1, annex=b"\x50"), game.graph[name].spent) == 0
