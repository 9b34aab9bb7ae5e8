"""Proofs that a leaf, as the prover shows it before and after the step, is not the one that the words of Step speak of.

A leaf is shown as four groups of four words, so a proof opens one group, or the same one before and after. That the
path leads to the right leaf is for `places`; which of its words is meant follows from Step once more (`location`).

Of a leaf that was read, the word read is judged. Of one that was written, every word after the step: the one written,
and the others, which are to be those before. If the step writes no data word, nothing is judged here: then the roots
before and after it are the same, which is for a proof against Step itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bitcoin.core import script as op

from bitvm.leaves.execution.base import differing_nibble
from bitvm.leaves.fields import WORD_GROUPS, WORDS_A_GROUP, Kind
from bitvm.leaves.path.location import READ, WHERE, WRITTEN, DataWord, require_kind, step_keys, whole_word
from bitvm.leaves.proof import Hints, Proof, Said
from bitvm.leaves.statement import GROUPS
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import pick_indexed, require_index, times_power_of_two
from lvm.control import CONTROL_FIELDS, CONTROL_WORDS

_GROUP_OF_FIELD = {field.name: name for name, group in GROUPS.items() for field in group.fields}


def word_proofs() -> tuple[Proof, ...]:
    """Return all of them; the names of the last part are groups of words, or control words."""
    groups = range(WORD_GROUPS)
    return (
        *(_data(word, group, "word") for word in READ for group in groups),
        *(_control(Kind.CONTROL, "control", "word", index, field) for index, field in enumerate(CONTROL_FIELDS)),
        *(_data(word, group, "after") for word in WRITTEN for group in groups),
        *(_unchanged(word, group) for word in WRITTEN for group in groups),
        *(_control(Kind.STATE, "state", "after", index, _after(field)) for index, field in enumerate(CONTROL_FIELDS)),
        *(_unchanged_state(group) for group in range(CONTROL_WORDS // WORDS_A_GROUP, WORD_GROUPS)),
    )


def _after(field: str) -> str:
    """Return the name of a control word's value after the step."""
    return "next_pc" if field == "pc" else f"after_{field}"


def _leaf_key(prefix: str, group: int) -> str:
    """Key of the words ``prefix.4 group`` … of the leaf, ``word`` before or ``after`` the step."""
    return f"Inside/{'after_' if prefix == 'after' else ''}words_{group}"


def _nibbles(prefix: str, first: int, words: int) -> list[str]:
    return [f"{prefix}.{first + word}.{index}" for word in range(words) for index in range(8)]


def _group_nibbles(prefix: str, group: int) -> list[str]:
    return _nibbles(prefix, WORDS_A_GROUP * group, WORDS_A_GROUP)


def _take_nibble(b: ScriptBuilder) -> None:
    """``… | nibble -> … nibble | …``; fails unless the hint is 0..7."""
    b.from_alt()
    require_index(b, 8, "nibble")


def _take_position(b: ScriptBuilder) -> None:
    """``… word | nibble -> … nibble position | …``: where in its group the nibble lies that is pointed at."""
    times_power_of_two(b, 3)
    _take_nibble(b)
    b.apply(op.OP_TUCK, 2, "nibble", "", "")
    b.add("position")


def _require_differ(b: ScriptBuilder, shown: Sequence[str], index: str, said: Sequence[str]) -> None:
    """``… index … position -> … index …``; fails unless the nibble of the leaf is not the one at index of `said`."""
    pick_indexed(b, shown, "shown")
    b.pick(index)
    pick_indexed(b, said, "said")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


# ---- the word that the step reads or writes


def _data(word: DataWord, group: int, prefix: str) -> Proof:
    def body(b: ScriptBuilder) -> None:
        """Win iff the word lies in this group and the hinted nibble of it is not the one in Step."""
        require_kind(b, word.kind)
        word.require(b)
        word.location.index(b)
        if group:
            b.number(WORDS_A_GROUP * group)
            b.sub()
        require_index(b, WORDS_A_GROUP, "word")
        _take_position(b)
        said = [f"{word.field}.{index}" for index in range(8)]
        _require_differ(b, _group_nibbles(prefix, group), "nibble", said)

    def wins(said: Said) -> Hints | None:
        if said.words["path.kind"] != word.kind or not word.exists(said.words):
            return None
        index = word.location.index_of(said.words)
        if index // WORDS_A_GROUP != group:
            return None
        return _hint(differing_nibble(said.words[f"{prefix}.{index}"], said.words[word.field]))

    opened = step_keys(word.group, *word.condition_groups, *word.location.index_groups)
    return Proof(
        f"word.{word.name}.{group}",
        f"{word.field} ({word.name}) is not the word that the leaf {_when(prefix)} holds, in group {group}",
        (WHERE, _leaf_key(prefix, group), *opened),
        ("nibble",),
        body,
        wins,
    )


def _hint(index: int | None) -> Hints | None:
    return None if index is None else (index,)


def _when(prefix: str) -> str:
    return "after the step" if prefix == "after" else "before the step"


# ---- control words


def _control(kind: Kind, name: str, prefix: str, index: int, field: str) -> Proof:
    def body(b: ScriptBuilder) -> None:
        """Win iff the hinted nibble of this control word is not the one in Step, which is 0 where none is signed."""
        require_kind(b, kind)
        _take_nibble(b)
        said = whole_word(b, field)
        b.pick("nibble")
        _require_differ(b, _nibbles(prefix, index, 1), "nibble", said)

    def wins(said: Said) -> Hints | None:
        if said.words["path.kind"] != kind:
            return None
        return _hint(differing_nibble(said.words[f"{prefix}.{index}"], said.words[field]))

    return Proof(
        f"word.{name}.{CONTROL_FIELDS[index]}",
        f"{field} is not the word that the control leaf {_when(prefix)} holds",
        (WHERE, _leaf_key(prefix, index // WORDS_A_GROUP), *step_keys(_GROUP_OF_FIELD[field])),
        ("nibble",),
        body,
        wins,
    )


# ---- words that stay


def _unchanged(word: DataWord, group: int) -> Proof:
    def may_not(b: ScriptBuilder) -> None:
        """``… word … -> … word …``; fails unless the step writes, and not the word pointed at."""
        word.require(b)
        word.location.index(b)
        if group:
            b.number(WORDS_A_GROUP * group)
            b.sub()
        b.pick("word")
        b.binary(op.OP_NUMNOTEQUAL)
        b.verify()

    def kept(said: Said) -> Sequence[int]:
        written = word.location.index_of(said.words) if word.exists(said.words) else None
        return [] if written is None else [index for index in _words(group) if index != written]

    opened = step_keys(*word.condition_groups, *word.location.index_groups)
    name = f"unchanged.{word.name}.{group}"
    return _changed(word.kind, name, group, opened=opened, may_not=may_not, kept=kept)


def _unchanged_state(group: int) -> Proof:
    def always(_: ScriptBuilder) -> None:
        """No word of this group is ever written."""

    name = f"unchanged.state.{group}"
    return _changed(Kind.STATE, name, group, opened=(), may_not=always, kept=lambda _: _words(group))


def _words(group: int) -> range:
    return range(WORDS_A_GROUP * group, WORDS_A_GROUP * (group + 1))


def _changed(
    kind: Kind,
    name: str,
    group: int,
    *,
    opened: tuple[str, ...],
    may_not: Callable[[ScriptBuilder], None],
    kept: Callable[[Said], Sequence[int]],
) -> Proof:
    """``may_not`` fails unless the hinted word is one that has to stay; ``kept`` lists those words of the group."""

    def body(b: ScriptBuilder) -> None:
        """Win iff the hinted word has to stay and the hinted nibble of it does not."""
        require_kind(b, kind)
        b.from_alt()
        require_index(b, WORDS_A_GROUP, "word")
        may_not(b)
        b.roll("word")
        _take_position(b)
        b.pick_at(0)
        _require_differ(b, _group_nibbles("word", group), "position", _group_nibbles("after", group))

    def wins(said: Said) -> Hints | None:
        if said.words["path.kind"] != kind:
            return None
        for index in kept(said):
            nibble = differing_nibble(said.words[f"word.{index}"], said.words[f"after.{index}"])
            if nibble is not None:
                return index % WORDS_A_GROUP, nibble
        return None

    return Proof(
        name,
        f"a word of group {group} differs before and after the step, which does not write it",
        (WHERE, _leaf_key("word", group), _leaf_key("after", group), *opened),
        ("word", "nibble"),
        body,
        wins,
    )
