"""The side path of a list: the prover signs points of list r, and loses if Step contradicts them.

List r has the points 1 … k-1 between its k = w * w intervals; points 0 and k are the parent's own. Three messages::

    outline   P   signs points w, 2w … (w-1)w
    pick      C   signs a group g; the window of its key holds it in 0..w-1
    detail    P   signs g again, which must be C's, and points wg+1 … wg+w-1

`comparisons` are the challenger's proofs that a root of Step is not the point that the prover signed at the place which
its own t selects (``Step/index``: choices d_1 … d_m, each a high and a low symbol of base w, d = w * high + low)::

    left     Step/root_before  against point d_r,      r the last level with d_r != 0
    right    Step/root_after   against point d_r + 1,  r the last level with d_r != k-1

Where there is no such level, the root belongs to an end of the run, which other proofs compare. Point p of list r is
the business of one leaf: ``outline_r_i`` if p = w * i, else ``detail_r_j`` with p = w * g + j and 1 <= j < w, where g
is what the prover restated. The script of a leaf accepts if and only if

* d_r has the leaf's symbols, and every later symbol is 0 (left) or w-1 (right). All are in 0..w-1, so their sum tells.
  The choices before d_r do not matter: t says which list r is.
* the labels of root and point differ in the slot that the hint names. Both keys are `NODE`, whose radices are exact: a
  node has one label, so different indices are different nodes. The hint is in range, so both indices are P's.

It is fair because an honest prover's point and root are the state of one run at one step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt
from typing import Literal

from bitcoin.core import script as op

from bitvm.leaves.choice import choice_symbols
from bitvm.leaves.fields import outline, pick, points
from bitvm.leaves.labels import SLOT, differing_slot, require_other_label
from bitvm.leaves.message import Message
from bitvm.leaves.proof import Hints, Proof, Said
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import require_number

Side = Literal["left", "right"]
Answer = Literal["outline", "detail"]

INDEX = "Step/index"


# ---- messages


def outline_message(level: int, width: int) -> Message:
    """Return Outline_r for list ``level``: the prover signs its points w, 2w …"""
    return Message("outline", shown=_paths(f"Outline_{level}", outline(width)))


def pick_message(level: int, width: int) -> Message:
    """Return Pick_r: the challenger signs which group of list ``level`` it wants to see."""
    return Message("pick", shown=_paths(f"Pick_{level}", pick(width)))


def detail_message(level: int, width: int) -> Message:
    """Return Detail_r: the prover says the challenger's group again and signs the points inside it."""
    own, asked = f"Detail_{level}/group", f"Pick_{level}/group"
    shown = _paths(f"Detail_{level}", points(width))
    return Message("detail", shown, used=(own, asked), repeats=(asked,), body=_require_equal)


def _paths(transaction: str, fields: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{transaction}/{field}" for field in fields)


def _require_equal(b: ScriptBuilder) -> None:
    """``… x y -> …``; fails unless ``x == y``."""
    b.binary(op.OP_NUMEQUAL)
    b.verify()


# ---- proofs


def comparisons(side: Side, levels: int, width: int) -> tuple[Proof, ...]:
    """Return the proofs of one side: 2 (w-1) a level, in a game of ``levels`` levels of ``width`` intervals."""
    answers: tuple[Answer, ...] = ("outline", "detail")
    return tuple(
        _Comparison(side, level, levels, width, answer, number).proof
        for level in range(1, levels + 1)
        for answer in answers
        for number in range(1, isqrt(width))
    )


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One point of one list, ``number`` in Outline or Detail, against the root of one side."""

    side: Side
    level: int
    levels: int
    width: int
    answer: Answer
    number: int

    @property
    def proof(self) -> Proof:
        group = (f"Detail_{self.level}/group",) if self.answer == "detail" else ()
        return Proof(
            f"compare.{self.side}.{self.answer}_{self.level}_{self.number}",
            f"{self.root} is not {self.point}, the point of list {self.level} that the index selects",
            (INDEX, *group, self.root, self.point),
            (SLOT,),
            self.body,
            self.wins,
        )

    @property
    def root(self) -> str:
        return {"left": "Step/root_before", "right": "Step/root_after"}[self.side]

    @property
    def point(self) -> str:
        return f"{self.answer.capitalize()}_{self.level}/point_{self.number}"

    @property
    def group(self) -> str:
        return f"detail_{self.level}.group"

    @property
    def past(self) -> int:
        """The point that d_r selects, less d_r."""
        return 0 if self.side == "left" else 1

    @property
    def last_choice(self) -> int:
        """What the choices of later levels are if level r selects the point."""
        return 0 if self.side == "left" else self.width - 1

    # ---- Script

    def body(self, b: ScriptBuilder) -> None:
        """Entry ``point's indices, root's indices, [group], t | slot``, each with its number 0 on top."""
        b.drop(2 * (self.level - 1))
        self._require_choice(b)
        self._require_later_choices(b)
        require_other_label(b, self.root, self.point)

    def _require_choice(self, b: ScriptBuilder) -> None:
        """``… low high -> …``; fails unless d_r selects this point."""
        if self.answer == "detail":
            b.roll(f"{self.group}.0")
            _require_equal(b)
            require_number(b, self.number - self.past)
            return
        for symbol in choice_symbols(isqrt(self.width) * self.number - self.past, self.width):
            require_number(b, symbol)

    def _require_later_choices(self, b: ScriptBuilder) -> None:
        """``… t.2m-1 … t.2r -> …``; fails unless the symbols of all later levels are 0, or the largest."""
        later = 2 * (self.levels - self.level)
        if not later:
            return
        for _ in range(later - 1):
            b.add()
        require_number(b, later * choice_symbols(self.last_choice, self.width)[0])

    # ---- Python

    def wins(self, said: Said) -> Hints | None:
        """Return the first slot in which the labels differ, if the index selects this point."""
        step = isqrt(self.width)
        place = step * self.number if self.answer == "outline" else step * said.words[self.group] + self.number
        later = said.choices[self.level :]
        if said.choices[self.level - 1] + self.past != place or any(choice != self.last_choice for choice in later):
            return None
        return differing_slot(said, self.root, self.point)
