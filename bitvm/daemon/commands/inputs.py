"""Inputs that an operator puts into a home by hand: read, hashed, and kept before anything else is done with them."""

from __future__ import annotations

from dataclasses import dataclass

from bitvm.daemon.commands.desk import Desk, SetupView
from bitvm.daemon.role import claimed_input
from bitvm.setup.input_store import InputMissingError, InputStore


@dataclass(frozen=True, slots=True)
class HeldInput:
    """An input of a claim slot. root: 24 bytes in hexadecimal. size: bytes, None where the bytes are not held.

    claimed: whether the slot's claim states this root.
    """

    setup: str
    slot: int
    root: str
    size: int | None
    claimed: bool


def keep_input(desk: Desk, setup_id: bytes, slot: int, data: bytes) -> bool:
    """Keep an input for a slot, durably, in the home; whether it was not kept for it yet. Raises InputStoreError."""
    with InputStore(desk.home.inputs_path) as store:
        return store.keep(setup_id, slot, data)


def held_inputs(desk: Desk, view: SetupView) -> tuple[HeldInput, ...]:
    """Return the inputs that are kept for the slots of a set-up, and the claimed ones that are not."""
    found: list[HeldInput] = []
    for slot in range(1, view.plan.parameters.claims + 1):
        stated = claimed_input(view.look.position, slot)
        roots = dict.fromkeys(desk.inputs.roots(view.archive.setup_id, slot))
        if stated is not None:
            roots.setdefault(stated)
        for root in roots:
            found.append(HeldInput(view.name, slot, root.hex(), _size(desk.inputs, root), root == stated))
    return tuple(found)


def _size(store: InputStore, root: bytes) -> int | None:
    try:
        return len(store.read(root))
    except InputMissingError:
        return None
