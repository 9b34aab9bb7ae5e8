"""Proofs that Path leads to another place than the words of Step, or its index, say.

The prover names the place in Path: a leaf's index in the state tree, or an entry's in the list of its level. All later
proofs presume that it is right. For a data word that the step does not write there is no right place, and none wins.
"""

from __future__ import annotations

from math import isqrt

from bitcoin.core import script as op

from bitvm.leaves.fields import PLACE_NIBBLES, Kind
from bitvm.leaves.path.location import (
    CONTROL_PLACE,
    READ,
    WHERE,
    WRITTEN,
    DataWord,
    require_kind,
    require_other_cpu_leaf,
    step_keys,
)
from bitvm.leaves.proof import Hints, Proof, Said, won
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import require_number, times_power_of_two


def place_proofs(levels: int, width: int) -> tuple[Proof, ...]:
    """Return the proofs for a game of ``levels`` levels with ``width`` intervals each, a power of four."""
    entries = (
        _entry(name, kind, level, width, past)
        for level in range(1, levels + 1)
        for name, kind, past in (("left", Kind.LEFT, -1), ("right", Kind.RIGHT, 0))
    )
    return (_CONTROL, *map(_data_word, READ), *map(_data_word, WRITTEN), *entries)


# ---- leaves of the state


def _control_body(b: ScriptBuilder) -> None:
    """Win iff the path is to prove control words and leads to another leaf."""
    b.pick("path.kind")
    b.equals_number(Kind.CONTROL)
    b.roll("path.kind")
    b.equals_number(Kind.STATE)
    b.binary(op.OP_BOOLOR)
    b.verify()
    b.number(CONTROL_PLACE % 16, "lowest")
    require_other_cpu_leaf(b)


def _control_wins(said: Said) -> Hints | None:
    is_control = said.words["path.kind"] in (Kind.CONTROL, Kind.STATE)
    return won(is_control and said.words["path.place"] != CONTROL_PLACE)


_CONTROL = Proof(
    "place.control",
    "the path to the control words leads to another leaf",
    (WHERE,),
    (),
    _control_body,
    _control_wins,
)


def _data_word(word: DataWord) -> Proof:
    def body(b: ScriptBuilder) -> None:
        """Win iff the step has this word and the path to it leads to another leaf."""
        require_kind(b, word.kind)
        word.require(b)
        word.location.require_elsewhere(b)

    def wins(said: Said) -> Hints | None:
        meant = said.words["path.kind"] == word.kind and word.exists(said.words)
        return word.location.elsewhere(said.words) if meant else None

    return Proof(
        f"place.{word.name}",
        f"the path to {word.field} ({word.name}) leads to another leaf",
        (WHERE, *step_keys(*word.condition_groups, *word.location.place_groups)),
        word.location.place_hints,
        body,
        wins,
    )


# ---- entries of a list


def _entry(name: str, kind: Kind, level: int, width: int, past: int) -> Proof:
    """``past``: number of the entry, less the choice d_r at this level."""

    def body(b: ScriptBuilder) -> None:
        """Win iff the path starts at this level's list and ``place - (w * high + low + past)`` is not 0."""
        require_kind(b, kind)
        b.roll("path.level")
        require_number(b, level)
        _place_number(b)
        b.roll(f"t.{2 * level - 2}")
        times_power_of_two(b, isqrt(width).bit_length() - 1)
        b.roll(f"t.{2 * level - 1}")
        b.add("choice")
        if past:
            b.number(past)
            b.add("entry")
        b.binary(op.OP_NUMNOTEQUAL)
        b.verify()

    def wins(said: Said) -> Hints | None:
        meant = (said.words["path.kind"], said.words["path.level"]) == (kind, level)
        return won(meant and said.words["path.place"] != said.choices[level - 1] + past)

    return Proof(
        f"place.{name}_{level}",
        f"the path to the entry {name} of the step leads to another entry of list {level}",
        (WHERE, "Step/index"),
        (),
        body,
        wins,
    )


def _place_number(b: ScriptBuilder) -> None:
    """``… path.place.i … -> … place``: below 2^24."""
    b.roll(f"path.place.{PLACE_NIBBLES - 1}", "place")
    for index in reversed(range(PLACE_NIBBLES - 1)):
        times_power_of_two(b, 4)
        b.roll(f"path.place.{index}")
        b.add("place")
