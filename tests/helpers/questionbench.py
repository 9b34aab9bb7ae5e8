"""Questions after Step and the leaves that answer or dismiss them, with whole messages signed by both parties."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from proofbench import Bench, list_height

from bitvm.leaves.choice import choice_symbols
from bitvm.leaves.message import Message
from bitvm.leaves.path.dismiss import ask_dismissals, descend_dismissals, narrow_dismissals
from bitvm.leaves.path.messages import close_messages, inside_messages, path_messages
from bitvm.leaves.proof import Proof, Said
from bitvm.script.onetime import Signature, Window

Fields = Mapping[str, object]
"""What is signed, by key path."""


@dataclass(frozen=True)
class Question:
    """What the challenger signed."""

    choices: tuple[int, ...]
    kind: int
    gap: int = 0
    narrow: int = 0

    def messages(self, width: int) -> dict[str, tuple[int, ...]]:
        """By key path, as symbols."""
        found = {f"Choice_{r}/digit": choice_symbols(choice, width) for r, choice in enumerate(self.choices, 1)}
        return {**found, "Ask/kind": (self.kind,), "Descend/gap": (self.gap,), "Narrow/gap": (self.narrow,)}

    def said(self) -> Said:
        return Said({"ask.kind": self.kind, "descend.gap": self.gap, "narrow.gap": self.narrow}, choices=self.choices)


class Questions(Bench):
    """A game in which every question can be signed, and every answer."""

    def __init__(self, levels: int, width: int, seed: int = 1) -> None:
        super().__init__(levels, width, seed)
        self.path = path_messages(levels, width)
        self.inside = inside_messages(width)
        self.close = close_messages()
        self.after_ask = ask_dismissals(levels, width)
        self.after_descend = descend_dismissals(width)
        self.after_narrow = narrow_dismissals()

    def answer(self, message: Message, question: Question, own: Fields | None = None) -> dict[str, object]:
        """What the mover of ``message`` signs, by key path: the question again, and any nodes and words."""
        level = int(message.name.rpartition("_")[2]) if message.name[-1].isdigit() else 0
        restated: dict[str, object] = {
            "Path/where": (question.kind, level, 5, 4, 3, 2, 1, 0),
            "Inside/gap": (question.gap,),
            "Close/where": (question.gap, question.narrow, 2),
        }
        signed = {path: restated[path] if path in restated else self._anything(path) for path in message.own}
        return {**signed, **(own or {})}

    def _anything(self, path: str) -> object:
        noise = hashlib.sha256(path.encode()).digest()
        scheme = self.public[path].scheme
        if not isinstance(scheme, Window):
            return noise[:24]
        return tuple(noise[slot % 32] % scheme.width for slot in range(scheme.slots))

    @cache  # noqa: B019 - a bench lives as long as the tests
    def signature(self, path: str, message: object) -> Signature:
        return self.secret(path).sign(message)

    def signed(self, message: Message, question: Question, own: Fields | None = None) -> dict[str, Signature]:
        """Signatures of both parties for a leaf."""
        said: dict[str, object] = {**question.messages(self.width), **self.answer(message, question, own)}
        return {path: self.signature(path, said[path]) for path in (*message.shown, *message.used)}

    def answers(self, message: Message, question: Question, own: Fields | None = None) -> bool:
        """Whether the whole leaf accepts."""
        return self.message_accepts(message, self.signed(message, question, own))

    def dismisses(self, proof: Proof, question: Question) -> bool:
        """Whether the whole leaf accepts in the prover's hands."""
        said = question.messages(self.width)
        signatures = {path: self.signature(path, said[path]) for path in proof.keys}
        return self.proof_accepts(proof, signatures, (), mover="prover")


# ---- which leaf answers what, said once more and in other words


def path_leaf(question: Question, width: int) -> str | None:
    """Name of the leaf that answers Ask, None if it makes no sense."""
    families = {**dict.fromkeys(range(5), "read"), **dict.fromkeys((5, 6), "write"), 7: "left", 8: "right", 9: "start"}
    family = families.get(question.kind)
    if family in ("left", "right"):
        inner = [r for r, d in enumerate(question.choices, 1) if d != (0 if family == "left" else width - 1)]
        return f"path.{family}_{inner[-1]}" if inner else None
    if family is None or (family == "start" and set(question.choices) != {0}):
        return None
    return f"path.{family}"


def inside_leaf(question: Question, width: int) -> str | None:
    """Name of the leaf that answers Descend, None if it makes no sense."""
    match question.kind:
        case 7 | 8:
            return "inside.entry" if question.gap < list_height(width) else None
        case 9:
            return "inside.start" if question.gap < 4 else None
        case kind if kind < 7:
            family = "read" if kind < 5 else "write"
            return [*[f"inside.{family}"] * 3, f"inside.{family}_words", *[None] * 4][question.gap]
    return None


def close_leaf(question: Question) -> str | None:
    """Name of the leaf that answers Narrow, None if it makes no sense."""
    if question.kind > 6 or question.gap > 2:
        return None
    return "close.read" if question.kind < 5 else "close.write"
