"""Several keys that signed one label: they are opened with one index vector, so there is nothing to compare.

Script learns that keys of different owners signed the same node. Comparing two index vectors (`forms.equal_nodes`)
costs a second vector in the witness and eight opcodes a slot; here the witness holds one vector for all, and each key
is opened with it::

    digits…  c_1 c_2 … c_N |   ->   |        c: the secrets of the first key, of the second, …, slot 0 first

The first key is opened in the used form (`forms.use`), which leaves the digits on the main stack and proves that each
is a number inside its slot's list. The lists of the other keys have the same sizes, since the scheme is the same, so
for them every index is in range already: no slot can take an item from below a list, and they need no guard. The last
key takes the digits away. There are never two lists at once.

Equal vectors are equal messages under any scheme. The converse is not needed: a signer of another label has shown no
secret that opens its key with this vector (that is what a signature is). A label that encodes no node is agreed on
like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime.chain import descent_opcodes, item_bytes
from bitvm.script.onetime.errors import FormError, ItemCountError
from bitvm.script.onetime.forms import INDEX_BYTES, parse_used, use, used_items
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme, Signature, Slot, check_public_values


def agree(b: ScriptBuilder, keys: Sequence[PublicKey]) -> None:
    """``… items -> …`` with items as `agreed_items` makes them: all `keys` signed one label. Items below stay.

    Raises FormError for fewer than two keys, keys of different schemes, a scheme whose used form leaves nibbles, or too
    few items on the stack; PublicValueError when two keys share a public value.
    """
    scheme = _common_scheme(keys)
    check_public_values(key.values for key in keys)
    first, *others = keys
    digits = [f"agreed {slot}" for slot in range(scheme.slots)]
    b.to_alt(len(others) * scheme.slots)
    use(b, [(first, digits)], normalised=False)
    for key in others:
        _open_again(b, key, digits, last=key is others[-1])


def _open_again(b: ScriptBuilder, key: PublicKey, digits: Sequence[str], *, last: bool) -> None:
    """``… digits | … secrets -> … digits | …``: open all slots with digits that are in range; the last key takes them.

    The list rule is that of every form (`Scheme`): a slot takes one value, the next chain enters on top.
    """
    scheme = key.scheme
    for value in reversed(key.values[: scheme.width]):
        b.data(value)
    for slot, level in enumerate(scheme.levels):
        (b.roll if last else b.pick)(digits[slot])
        b.apply(op.OP_ROLL, 1)  # … list value: as many items as before, the index gone
        b.from_alt()
        b.apply(op.OP_SIZE, 1, "", "")
        b.number(item_bytes(level))
        b.apply(op.OP_EQUALVERIFY, 2)
        b.apply(descent_opcodes(level), 1, "")
        b.apply(op.OP_EQUALVERIFY, 2)
        if scheme.width + slot < scheme.chains:
            b.data(key.values[scheme.width + slot])
    b.drop(scheme.chains - scheme.slots)


def agreed_items(signatures: Sequence[Signature]) -> list[bytes]:
    """Return the witness items, bottom first, for `agree` with the keys in the same order.

    Raises FormError when the signatures are of different labels: those cannot be put into one witness.
    """
    first, *others = signatures
    if any(other.indices != first.indices for other in others):
        raise FormError("the signatures are of different labels")
    return [*used_items([first]), *(slot.secret for other in others for slot in other.slots)]


def agreed_item_sizes(scheme: AnyScheme, count: int) -> list[int]:
    """Return the largest size in bytes of each item of `agreed_items` for `count` keys of `scheme`, bottom first."""
    return [INDEX_BYTES] * scheme.slots + [item_bytes(level) for level in scheme.levels] * count


def parse_agreed(items: Sequence[bytes], scheme: AnyScheme, count: int) -> list[Signature]:
    """Read the items of `agree` for `count` keys back into signatures.

    Raises ItemCountError, NumberError, IndexRangeError and SecretSizeError, as `forms.parse_used` does.
    """
    slots = scheme.slots
    if len(items) != slots * (count + 1):
        raise ItemCountError(f"{slots * (count + 1)} items expected, the witness has {len(items)}")
    (first,), _ = parse_used(items[: 2 * slots], [scheme])
    signatures = [first]
    for start in range(2 * slots, len(items), slots):
        secrets = items[start : start + slots]
        signature = Signature(tuple(map(Slot, first.indices, secrets)))
        scheme.check_sizes(signature)
        signatures.append(signature)
    return signatures


def _common_scheme(keys: Sequence[PublicKey]) -> AnyScheme:
    schemes = {key.scheme for key in keys}
    if len(keys) < 2 or len(schemes) != 1:
        raise FormError(f"two or more keys of one scheme needed, got {len(keys)} of {sorted(s.name for s in schemes)}")
    (scheme,) = schemes
    if scheme.layout is not None:
        raise FormError(f"{scheme.name} leaves nibbles, not the indices that open another key")
    return scheme
