"""Hash chains: levels in half steps, chain heads from a seed.

An item of a chain has a *level*: the number of half steps down to the public value, which has level 0. From an even
level the half step is SHA256 (20 bytes become the 32-byte midpoint of HASH160), from an odd level RIPEMD160 (32 bytes
become 20). Two half steps from an even level are one HASH160, so a script comes down from level 2k by k HASH160 and
from level 2k - 1 by one RIPEMD160 and k - 1 HASH160: k opcodes either way, but the item at the odd level is 12 bytes
longer.

A chain ends in a *head* of 20 bytes at the top level: HMAC-SHA256 under the key's 32-byte seed of the scheme's name
and the chain's number, cut to 20 bytes. The name is in there because two schemes with common chains would be one
broken key.
"""

import hashlib
import hmac
from collections.abc import Callable

from bitcoin.core import script as op

from bitvm.script.onetime.errors import SeedError

VALUE_BYTES = 20
"""Size of public values and of all items at even levels."""

MIDPOINT_BYTES = 32
"""Size of the items at odd levels."""

SEED_BYTES = 32


def _choose_ripemd160() -> Callable[[bytes], bytes]:
    """Take OpenSSL's RIPEMD160 where it has one (some builds hide it), else python-bitcoinlib's."""
    try:
        return _hasher(hashlib.new("ripemd160"))
    except ValueError:
        from bitcoin.core.contrib.ripemd160 import ripemd160 as portable

        return lambda data: bytes(portable(data))


def _hasher(blank: "hashlib._Hash") -> Callable[[bytes], bytes]:
    """Hash by copying a fresh hash object, which takes half the time of making one by name."""
    copy = blank.copy

    def digest(data: bytes) -> bytes:
        state = copy()
        state.update(data)
        return state.digest()

    return digest


ripemd160 = _choose_ripemd160()
_sha256 = _hasher(hashlib.sha256())


def item_bytes(level: int) -> int:
    """Return the size of an item at `level`: 20 or 32 bytes."""
    return MIDPOINT_BYTES if level % 2 else VALUE_BYTES


def level_cost(level: int) -> int:
    """Return the weight units by which a slot at `level` exceeds a slot at level 0."""
    return (level + 1) // 2 + item_bytes(level) - VALUE_BYTES


def cheapest_levels(slots: int) -> tuple[int, ...]:
    """Return the `slots` distinct levels >= 1 that cost least together, ascending: slot j has the j-th of them."""
    by_cost = sorted(range(1, 2 * slots + 1), key=lambda level: (level_cost(level), level % 2))
    return tuple(sorted(by_cost[:slots]))


def half_step(item: bytes, level: int) -> bytes:
    """Take an item at `level` >= 1 to the level below."""
    return ripemd160(item) if level % 2 else _sha256(item)


def descend(item: bytes, level: int) -> bytes:
    """Take an item at `level` to the public value at level 0."""
    for current in range(level, 0, -1):
        item = half_step(item, current)
    return item


def descent_opcodes(level: int) -> bytes:
    """Return the opcodes that do on the top stack item what `descend` does."""
    first = bytes([op.OP_RIPEMD160]) if level % 2 else b""
    return first + bytes([op.OP_HASH160]) * (level // 2)


def chain_from_head(head: bytes, top: int) -> tuple[bytes, ...]:
    """Return the chain with `head` at the even level `top`, indexed by level; item 0 is the public value."""
    item = head
    items = [item]
    for _ in range(top // 2):
        midpoint = _sha256(item)
        item = ripemd160(midpoint)
        items += midpoint, item
    items.reverse()
    return tuple(items)


def chain_head(seed: bytes, scheme_name: str, chain: int) -> bytes:
    """Derive the 20-byte head of one chain; raises SeedError unless `seed` has 32 bytes."""
    if len(seed) != SEED_BYTES:
        raise SeedError(f"a seed has {SEED_BYTES} bytes, this one has {len(seed)}")
    return hmac.digest(seed, f"onetime/{scheme_name}/{chain}".encode(), "sha256")[:VALUE_BYTES]
