"""What a challenger concludes from the points of a list that the prover signed when it was demanded.

A list of k = w * w intervals has interior points 1 … k-1. Outline signs the points w, 2w … (w-1)w, Detail those inside
the group g of intervals wg … wg+w-1 that the challenger picked. A label that encodes no node is no state's, so such a
point is false. The lists of true points hold point p at place p - 1, as in `bitvm.game.trace_list`.

The first false point ends the first interval whose right end is false; where no answered point is false, the disputed
one is the parent's right end. So the choice's left end is agreed, and both its ends, if interior, are answered: Step
cannot contradict them without losing to a comparison (`bitvm.leaves.side`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt

from bitvm.leaves.proof import Said


def answered_points(said: Said, level: int, width: int) -> Mapping[int, bytes | None]:
    """Return the points of list ``level`` that the prover signed in Outline and Detail so far, by their number 1..k-1.

    A point is 24 bytes, or None for a label that encodes no node.
    """
    step = isqrt(width)
    places = {f"Outline_{level}/point_{i}": step * i for i in range(1, step)}
    group = said.words.get(f"detail_{level}.group")
    if group is not None:
        places |= {f"Detail_{level}/point_{j}": step * group + j for j in range(1, step)}
    return {place: said.nodes[path] for path, place in places.items() if path in said.nodes}


def pick_of_outline(said: Said, level: int, truth: Sequence[bytes]) -> int:
    """Return the group to pick: the first one whose right end is false, the last one if no point of Outline is.

    truth: the k-1 true interior points. Raises KeyError where Outline was not heard.
    """
    step = isqrt(len(truth) + 1)
    return next(
        (i - 1 for i in range(1, step) if said.nodes[f"Outline_{level}/point_{i}"] != truth[step * i - 1]), step - 1
    )


def choice_of_answers(said: Said, level: int, truth: Sequence[bytes]) -> int:
    """Return the choice d_r that follows from Detail: the first interval of its group whose right end is false.

    Where no point inside the group is false, that is the group's last interval, whose right end the pick already found
    false. truth: the k-1 true interior points. Raises KeyError where Detail was not heard.
    """
    step = isqrt(len(truth) + 1)
    first = step * said.words[f"detail_{level}.group"]
    inside = (said.nodes[f"Detail_{level}/point_{j}"] != truth[first + j - 1] for j in range(1, step))
    return first + next((j for j, is_false in enumerate(inside) if is_false), step - 1)
