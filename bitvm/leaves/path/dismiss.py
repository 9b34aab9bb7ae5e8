"""How the prover wins against a question that makes no sense: proofs over what the challenger signed.

A question that no leaf of `bitvm.leaves.path.messages` answers would let a silent prover lose. It loses the game for
the challenger instead, at once: each proof here holds exactly where the question names nothing.

==========  =================================================================  =========================
after       the question                                                       leaf
==========  =================================================================  =========================
Ask         a kind past the last one                                           dismiss.kind
            LEFT, although all choices are 0: A is the run's first state       dismiss.left
            RIGHT, although all choices are k - 1: B is the run's last state   dismiss.right
            START, although a choice is not 0: A is not the run's first state  dismiss.start
Descend     a gap below the leaf, in the state tree                            dismiss.gap_tree
            a gap above the root, in a list                                    dismiss.gap_entry
            a gap above the root, for START                                    dismiss.gap_start
Narrow      of an entry or START, where Inside has shown all                   dismiss.narrow_kind
            of a leaf's words                                                  dismiss.narrow_words
==========  =================================================================  =========================

The mover is the prover, so the rules of `bitvm.leaves.proof` hold with the parties exchanged: every key is the
challenger's. An honest challenger asks none of this and signs each key once, so nothing here can be used against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bitcoin.core import script as op

from bitvm.leaves.fields import ENTRIES, READS, START_GAPS, TREE_GAPS, WRITES, Kind
from bitvm.leaves.path.messages import (
    ASK,
    DESCEND,
    GAP_ASKED,
    KIND_ASKED,
    all_are,
    choice_keys,
    list_height,
    require_kind,
)
from bitvm.leaves.proof import Proof, Said, won
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import greater_than, require_number

_TREE = (*READS, *WRITES)


def ask_dismissals(levels: int, width: int) -> tuple[Proof, ...]:
    """Return the proofs against Ask, in a game of ``levels`` levels with ``width`` intervals each."""
    first_step, last_step = (0,) * levels, (width - 1,) * levels
    choices = choice_keys(1, levels)

    def at_end(kind: Kind, end: Sequence[int]) -> Callable[[ScriptBuilder], None]:
        def body(b: ScriptBuilder) -> None:
            """``ask.kind choices -> ``; fails unless it is this kind and all choices are those of ``end``."""
            require_kind(b, (kind,))
            all_are(b, choices, end[0], width)
            b.verify()

        return body

    def start_later(b: ScriptBuilder) -> None:
        """``ask.kind choices -> ``; fails unless it is START and a choice is not 0."""
        require_kind(b, (Kind.START,))
        all_are(b, choices, 0, width)
        b.unary(op.OP_NOT)
        b.verify()

    return (
        _dismissal("kind", "asks for a statement that does not exist", (ASK,), _no_kind, _asks_no_kind),
        _dismissal(
            "left",
            "asks for the list entry left of the first step",
            (ASK, *choices),
            at_end(Kind.LEFT, first_step),
            lambda said: said.words["ask.kind"] == Kind.LEFT and said.choices == first_step,
        ),
        _dismissal(
            "right",
            "asks for the list entry right of the last step",
            (ASK, *choices),
            at_end(Kind.RIGHT, last_step),
            lambda said: said.words["ask.kind"] == Kind.RIGHT and said.choices == last_step,
        ),
        _dismissal(
            "start",
            "asks for Boot at another step than the first",
            (ASK, *choices),
            start_later,
            lambda said: said.words["ask.kind"] == Kind.START and said.choices != first_step,
        ),
    )


def descend_dismissals(width: int) -> tuple[Proof, ...]:
    """Return the proofs against Descend, for lists of ``width`` intervals."""
    return (
        _no_gap("tree", "asks for a gap below the leaf of the state tree", _TREE, TREE_GAPS + 1),
        _no_gap("entry", "asks for a gap above the root of the list", ENTRIES, list_height(width)),
        _no_gap("start", "asks for a gap above the root of the state tree", (Kind.START,), START_GAPS),
    )


def narrow_dismissals() -> tuple[Proof, ...]:
    """Return the proofs against Narrow."""
    return (
        _dismissal(
            "narrow_kind",
            "asks for more of an entry or of Boot, of which Inside has shown all",
            (ASK,),
            _not_of_the_tree,
            lambda said: said.words["ask.kind"] > max(_TREE),
        ),
        _dismissal(
            "narrow_words",
            "asks for more of a leaf's words",
            (DESCEND,),
            _leaf_gap,
            lambda said: said.words["descend.gap"] == TREE_GAPS,
        ),
    )


def _dismissal(
    name: str,
    statement: str,
    keys: tuple[str, ...],
    body: Callable[[ScriptBuilder], None],
    holds: Callable[[Said], bool],
) -> Proof:
    return Proof(f"dismiss.{name}", f"the challenger {statement}", keys, (), body, lambda said: won(holds(said)))


def _no_gap(name: str, statement: str, kinds: Sequence[Kind], gaps: int) -> Proof:
    """Return the proof that the path of one of ``kinds``, which has so many gaps, does not have the one asked for."""

    def body(b: ScriptBuilder) -> None:
        """``ask.kind descend.gap -> ``."""
        require_kind(b, kinds)
        b.roll(GAP_ASKED)
        greater_than(b, gaps - 1)
        b.verify()

    def holds(said: Said) -> bool:
        return said.words["ask.kind"] in kinds and said.words["descend.gap"] >= gaps

    return _dismissal(f"gap_{name}", statement, (ASK, DESCEND), body, holds)


def _no_kind(b: ScriptBuilder) -> None:
    """``ask.kind -> ``; fails unless it is past the last kind."""
    b.roll(KIND_ASKED)
    greater_than(b, max(Kind))
    b.verify()


def _asks_no_kind(said: Said) -> bool:
    return said.words["ask.kind"] > max(Kind)


def _not_of_the_tree(b: ScriptBuilder) -> None:
    """``ask.kind -> ``; fails unless it tells of no leaf of the state tree."""
    b.roll(KIND_ASKED)
    greater_than(b, max(_TREE))
    b.verify()


def _leaf_gap(b: ScriptBuilder) -> None:
    """``descend.gap -> ``; fails unless it is the leaf of the state tree."""
    b.roll(GAP_ASKED)
    require_number(b, TREE_GAPS)
