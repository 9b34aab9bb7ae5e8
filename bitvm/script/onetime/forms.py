"""The shown and the used form: script fragments that open keys, and the witness items that go with them.

**Shown**: the script only checks that each key signed *something*; readers learn the message from the witness. An index
item is consumed with its slot. **Used**: the digits stay below and the script goes on to compute with them.

Witness items, bottom first: the digits of the used keys (last key's last slot deepest, so that slot 0 of the first key
is on top), then, in the order in which they are consumed, the secrets of the used keys and the index and secret of
each slot of the shown keys, then the hints. All but the digits goes to the alt stack before the first key is opened::

    digits…  c_1 c_2 … c_N  hint_1 … hint_h |   ->   digits… | hint_h … hint_1 c_N … c_2 c_1

Then one key after another: its list is pushed, its slots are opened, what is left of its list is dropped.

Why an index cannot reach below the list. An index past the list takes an item from under it, which its author may have
chosen. The list is one block on top of the main stack; each slot takes one item away and each new chain adds one to
that block. If f slots took their item from below, the block holds chains - slots + f public values at the end, and
after the drop of chains - slots there are f left on top. So one look at the top item shows whether f = 0:

- when only shown keys are opened, the stack under the list is empty (OP_DEPTH OP_NOT OP_VERIFY, once, before the first
  list; every key then leaves it empty, since an index past the list underflows);
- otherwise the top item is a used digit, and OP_ABS, which fails on 20 bytes, sees to it after every key.

With f = 0 every index lay inside its list, so each digit was read by its own OP_ROLL as a number in range. This is why
several keys may follow one another: what lies below (digits of keys yet to be opened, numbers of keys already
opened, a Schnorr signature) can neither be taken nor shifted, and there are never two lists at once. The used keys come
first, so a digit that OP_ABS meets has already been proved not to be negative.
"""

from collections.abc import Sequence

from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder, ScriptError, decode_number, encode_number
from bitvm.script.onetime.chain import item_bytes
from bitvm.script.onetime.errors import FormError, ItemCountError, NumberError
from bitvm.script.onetime.opening import open_key
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme, Signature, Slot, check_public_values

INDEX_BYTES = 1
"""Largest minimally encoded index: indices stay below 128."""

NUMBER_BYTES = 4
"""Largest item that consensus reads as a number, so the largest hint."""


# ---- script


def show(b: ScriptBuilder, keys: Sequence[PublicKey]) -> None:
    """``items -> `` with items as `shown_items` makes them and nothing else on the main stack.

    Raises FormError when the builder's stack holds another number of items, PublicValueError when two keys share a
    public value.
    """
    _check_keys(keys, (), taken=())
    items = 2 * sum(key.scheme.slots for key in keys)
    if len(b.stack) != items:
        raise FormError(f"{len(b.stack)} items on the main stack, the keys shown need exactly {items}")
    b.to_alt(items)
    _require_empty_stack(b)
    for key in keys:
        open_key(b, key, None)


def use(
    b: ScriptBuilder,
    keys: Sequence[tuple[PublicKey, Sequence[str]]],
    hints: Sequence[str] = (),
    *,
    normalised: bool = True,
) -> None:
    """``… items | -> … numbers | … hint_2 hint_1`` with items as `used_items` makes them.

    The numbers of the keys stay on the main stack under the names given with each key, `Scheme.numbers` of them:
    indices, or nibbles where the scheme has a layout; all in range. With `normalised` they are minimally encoded too.
    Without it, which saves three weight units a digit, those that are indices may come in any encoding of at most four
    bytes: then only opcodes that read numbers may touch them (never OP_EQUAL, OP_IF, OP_SIZE or a hash). Items below
    are left alone.

    Raises FormError for names that do not fit, PublicValueError when two keys share a public value.
    """
    show_and_use(b, (), keys, hints, normalised=normalised)


def show_and_use(
    b: ScriptBuilder,
    shown: Sequence[PublicKey],
    used: Sequence[tuple[PublicKey, Sequence[str]]],
    hints: Sequence[str] = (),
    *,
    normalised: bool = True,
) -> None:
    """As `use`, with `shown` keys checked on the way; items as `show_and_use_items` makes them."""
    if not used:
        raise FormError("without a used key there is no digit to guard the lists: use show")
    digits = [_digit_names(number, key.scheme, names) for number, (key, names) in enumerate(used)]
    consumed = sum(key.scheme.slots for key, _ in used) + 2 * sum(key.scheme.slots for key in shown)
    entry = [name for names in reversed(digits) for name in reversed(names)] + [""] * consumed + list(hints)
    below = len(b.stack) - len(entry)
    if below < 0:
        raise FormError(f"{len(b.stack)} items on the main stack, the keys and hints need {len(entry)}")
    _check_keys(shown, used, taken=[*b.stack[:below], *hints])
    b.stack[below:] = entry
    b.to_alt(consumed + len(hints))
    for (key, _), own_digits in zip(used, digits, strict=True):
        open_key(b, key, own_digits)
        _require_number_on_top(b)
    for key in shown:
        open_key(b, key, None)
        _require_number_on_top(b)
    _deliver(b, used, normalised)


def equal_nodes(b: ScriptBuilder, left: Sequence[str], right: Sequence[str], name: str = "") -> None:
    """``… left… right… -> … (left == right)``: whether two used keys of one exact `Permutation` signed the same label.

    `left` and `right` name the indices, slot 0 first; they are taken from wherever they lie, in any encoding. Only on
    exact radices do different vectors mean different messages: raises FormError for unequal lengths, but cannot see a
    scheme, so do not call it with digits that get clamped.
    """
    if len(left) != len(right) or not left:
        raise FormError(f"index vectors of {len(left)} and {len(right)} numbers cannot be compared")
    for slot, (one, other) in enumerate(zip(left, right, strict=True)):
        b.roll(one)
        b.roll(other)
        b.binary(op.OP_NUMEQUAL, name)
        if slot:
            b.from_alt()
            b.binary(op.OP_BOOLAND, name)
        if slot < len(left) - 1:
            b.to_alt()


def _require_empty_stack(b: ScriptBuilder) -> None:
    """``-> ``; fails if there is anything on the main stack."""
    b.apply(op.OP_DEPTH, 0, "")
    b.unary(op.OP_NOT)
    b.verify()


def _require_number_on_top(b: ScriptBuilder) -> None:
    """``… digit -> … digit``; fails if it is a public value, so if an index reached below the list."""
    b.unary(op.OP_ABS, b.stack[-1])


def _deliver(b: ScriptBuilder, used: Sequence[tuple[PublicKey, Sequence[str]]], normalised: bool) -> None:
    """Turn the digits into the numbers promised; those that have to be touched go through the alt stack."""
    touched = [number for number, (key, _) in enumerate(used) if normalised or key.scheme.layout is not None]
    moved = 0
    for key, names in used[: max(touched, default=-1) + 1]:
        moved += len(names)
        if key.scheme.layout is not None:
            key.scheme.layout.write(b, names)
            continue
        for name in names:
            if normalised:
                b.unary(op.OP_ABS, name)
            b.to_alt()
    b.from_alt(moved)


def _digit_names(number: int, scheme: AnyScheme, names: Sequence[str]) -> list[str]:
    """Name the digits of the key with this number: as the caller calls the numbers, unless these are made later."""
    if len(names) != scheme.numbers:
        raise FormError(f"{scheme.name} leaves {scheme.numbers} numbers, {len(names)} names were given")
    return list(names) if scheme.layout is None else [f"digit {number}.{slot}" for slot in range(scheme.slots)]


def _check_keys(
    shown: Sequence[PublicKey], used: Sequence[tuple[PublicKey, Sequence[str]]], taken: Sequence[str]
) -> None:
    """Raise PublicValueError or FormError for public values or names that must not be in one script."""
    keys = [*shown, *(key for key, _ in used)]
    if not keys:
        raise FormError("no key to open")
    check_public_values(key.values for key in keys)
    names = [name for name in taken if name] + [name for _, own in used for name in own]
    if "" in names or len(set(names)) != len(names):
        raise FormError(f"every number and hint needs a name of its own: {names}")


# ---- witness items


def shown_items(signatures: Sequence[Signature]) -> list[bytes]:
    """Return the witness items, bottom first, for `show` with the keys in the same order."""
    return [item for signature in signatures for slot in signature.slots for item in _shown_slot(slot)]


def used_items(signatures: Sequence[Signature], hints: Sequence[int] = ()) -> list[bytes]:
    """Return the witness items, bottom first, for `use` with the keys and hints in the same order."""
    return show_and_use_items((), signatures, hints)


def show_and_use_items(shown: Sequence[Signature], used: Sequence[Signature], hints: Sequence[int] = ()) -> list[bytes]:
    """Return the witness items, bottom first, for `show_and_use`; numbers are minimally encoded."""
    digits = [encode_number(slot.index) for signature in used for slot in signature.slots]
    secrets = [slot.secret for signature in used for slot in signature.slots]
    return [*reversed(digits), *secrets, *shown_items(shown), *map(encode_number, hints)]


def shown_item_sizes(schemes: Sequence[AnyScheme]) -> list[int]:
    """Return the largest size in bytes of each item of `shown_items`, bottom first."""
    return [size for scheme in schemes for level in scheme.levels for size in (INDEX_BYTES, item_bytes(level))]


def used_item_sizes(schemes: Sequence[AnyScheme], hints: int = 0) -> list[int]:
    """Return the largest size in bytes of every item of `used_items`, bottom first."""
    return show_and_use_item_sizes((), schemes, hints)


def show_and_use_item_sizes(shown: Sequence[AnyScheme], used: Sequence[AnyScheme], hints: int = 0) -> list[int]:
    """Return the largest size in bytes of every item of `show_and_use_items`, bottom first."""
    digits = [INDEX_BYTES] * sum(scheme.slots for scheme in used)
    secrets = [item_bytes(level) for scheme in used for level in scheme.levels]
    return [*digits, *secrets, *shown_item_sizes(shown), *[NUMBER_BYTES] * hints]


def parse_shown(items: Sequence[bytes], schemes: Sequence[AnyScheme]) -> list[Signature]:
    """Read the items of `show` back, numbers as consensus reads them.

    Raises ItemCountError, NumberError, IndexRangeError and SecretSizeError: exactly the faults that the script sees
    before it hashes. Whether the chains are opened is for `Scheme.verify`.
    """
    signatures, _, _ = _parse(items, schemes, (), 0)
    return signatures


def parse_used(
    items: Sequence[bytes], schemes: Sequence[AnyScheme], hints: int = 0
) -> tuple[list[Signature], list[bytes]]:
    """Read the items of `use` back into signatures and the raw items of the `hints`; errors as in `parse_shown`.

    Hints stay as they came: what a hint may be is up to the leaf that uses it.
    """
    _, signatures, hint_items = _parse(items, (), schemes, hints)
    return signatures, hint_items


def parse_show_and_use(
    items: Sequence[bytes], shown: Sequence[AnyScheme], used: Sequence[AnyScheme], hints: int = 0
) -> tuple[list[Signature], list[Signature], list[bytes]]:
    """Read the items of `show_and_use` back: shown signatures, used ones, raw hints; errors as in `parse_shown`."""
    return _parse(items, shown, used, hints)


def _shown_slot(slot: Slot) -> tuple[bytes, bytes]:
    return encode_number(slot.index), slot.secret


def _parse(
    items: Sequence[bytes], shown: Sequence[AnyScheme], used: Sequence[AnyScheme], hints: int
) -> tuple[list[Signature], list[Signature], list[bytes]]:
    used_slots, shown_slots = (sum(scheme.slots for scheme in schemes) for schemes in (used, shown))
    expected = 2 * (used_slots + shown_slots) + hints
    if len(items) != expected:
        raise ItemCountError(f"{expected} items expected, the witness has {len(items)}")
    digits, secrets = items[used_slots - 1 :: -1] if used_slots else (), items[used_slots : 2 * used_slots]
    alternating = items[2 * used_slots : expected - hints]
    return (
        _signatures(shown, alternating[::2], alternating[1::2]),
        _signatures(used, digits, secrets),
        list(items[expected - hints :]),
    )


def _signatures(schemes: Sequence[AnyScheme], indices: Sequence[bytes], secrets: Sequence[bytes]) -> list[Signature]:
    signatures = []
    start = 0
    for scheme in schemes:
        end = start + scheme.slots
        slots = zip(map(_number, indices[start:end]), secrets[start:end], strict=True)
        signature = Signature(tuple(Slot(index, secret) for index, secret in slots))
        scheme.check_sizes(signature)
        scheme.chains_of(signature.indices)
        signatures.append(signature)
        start = end
    return signatures


def _number(item: bytes) -> int:
    """Read an index item as OP_ROLL does."""
    try:
        return decode_number(item)
    except ScriptError as error:
        raise NumberError(f"an index item of {len(item)} bytes is no script number") from error
