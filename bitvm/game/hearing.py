"""What one-time signatures found on the chain say: the words, nodes and choices behind them."""

from __future__ import annotations

from collections.abc import Mapping

from bitvm.leaves.choice import choice_of
from bitvm.leaves.commitment import signed_node
from bitvm.leaves.fields import PLACE_NIBBLES, numbers
from bitvm.leaves.proof import Said
from bitvm.leaves.statement import GROUPS, words_from_nibbles
from bitvm.script.onetime import Signature, Window
from bitvm.script.onetime.public import PublicKey

_INDEX = "Step/index"


def said_of(signatures: Mapping[str, Signature], public: Mapping[str, PublicKey], width: int) -> Said:
    """Return what ``signatures`` say under the keys ``public``, both by key path, in lists of ``width`` intervals.

    Words are named as in `Said`; a challenger's symbols are ``ask.kind``, ``descend.gap``, ``narrow.gap`` and
    ``pick_r.group``. Raises OneTimeError where a signature is not its key's, StatementError where nibbles are no words.
    """
    words: dict[str, int] = {}
    nodes: dict[str, bytes | None] = {}
    choices: tuple[int, ...] = ()
    for path, signature in signatures.items():
        key = public[path]
        if not isinstance(key.scheme, Window):
            nodes[path] = signed_node(key, signature)
        elif path == _INDEX:
            symbols = key.verify(signature)
            choices = tuple(choice_of(symbols[i : i + 2], width) for i in range(0, len(symbols), 2))
        elif not path.endswith("/digit"):
            words |= _words(path, key, key.verify(signature))
    return Said(words, nodes, choices, dict(signatures))


def _words(path: str, key: PublicKey, symbols: tuple[int, ...]) -> dict[str, int]:
    transaction, field = path.split("/")
    if transaction == "Step" and field in GROUPS:
        return words_from_nibbles(field, symbols)
    if path == "Path/where":
        kind, level, *place = symbols
        value = sum(nibble << 4 * index for index, nibble in enumerate(place[:PLACE_NIBBLES]))
        return {"path.kind": kind, "path.level": level, "path.place": value}
    if path == "Close/where":
        return dict(zip(numbers(path, key.scheme), symbols, strict=True))
    if len(symbols) > 1:  # the words of a leaf: each number is called word.j.i
        words: dict[str, int] = {}
        for name, nibble in zip(numbers(path, key.scheme), symbols, strict=True):
            word, _, place_in_word = name.rpartition(".")
            words[word] = words.get(word, 0) | nibble << 4 * int(place_in_word)
        return words
    return {f"{transaction.lower()}.{field}": symbols[0]}
