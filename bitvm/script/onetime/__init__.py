"""Hash-based one-time signatures that Bitcoin Script checks, without a checksum and cheaper than Winternitz.

Construction
------------
A key has m hash chains with public values v_1 … v_m, 20 bytes each, written in the script, and n slots with distinct
levels k_j >= 1. To sign is to give every slot a chain that no other slot has: slot j shows x with H^{k_j}(x) = v. The
message is the assignment. The script pushes the values as a list; a slot's index rolls one value up, which takes it
out of the list, and the slot's secret has to hash to it.

- `Permutation` (P(m, n) in exact mixed radix): all m values are in the list from the start. `NODE` = P(54, 38).
- `NibblePermutation` (power-of-two radices): the same, with whole bits a slot. `NODE_USED` = P(56, 42).
- `Window`: a list of exactly `width` values, and a new one enters after each slot, so the index is the digit.

A step of a chain is HASH160, and its SHA256 midpoint counts as a level too (`chain`). Forms: `forms.show` checks that
something was signed and leaves the reading to the witness's readers; `forms.use` leaves the message as numbers.

Why nobody else can sign a second message
-----------------------------------------
Seeing one signature S, a stranger knows an opened chain up to the level k_j of the slot that opened it and no higher
(higher items are preimages), and of other chains nothing above level 0. Let T be any accepted signature made from that.
The slot with the highest level needs a chain known to that level: there is only the one that S opened there, so T opens
the same one there; that value has left the list and can serve no other slot. For the slot with the next lower level the
chains known high enough are that one, which is used up, and the one that S opened there. And so on down: T assigns as S
does. The index vector is determined by the assignment, because the list's order at each slot follows from the earlier
choices. The argument does not ask in which order the script visits the slots, nor which values have entered the list
yet, so it holds for the window as well; an index is never range-checked, since one outside the list finds nothing
(condition 3).

So a forgery inverts SHA256 or RIPEMD160 on an item of a chain. With a million keys published, some 2^30 targets, that
takes near 2^131 hash evaluations; heads that came from 128-bit seeds a key would bring it to 2^108.

Conditions, each with the forgery that it stops
-----------------------------------------------
1. *All slots of a key are checked in every leaf.* Where a leaf opened only the slots of the first word of a group,
   chains known from the higher slots filled them with other values.
2. *One key has one level map, slot order, list order, window rule and decoding in every form.* In another slot order
   the same secrets read as another message. "One more hash instead of a size check" in one form shows items one level
   too high, which forge in the other. Here they are attributes of the `Scheme`, whose name also enters the chain
   heads.
3. *Under the list lies nothing that an index can take* without the script failing: an empty stack in the shown form,
   else a digit that is proved to be a number after each list (`forms` has the proof). An item below the list, 20 bytes
   with a known preimage chosen by the forger, could fill any slot, as could a digit that is such an item, or a hint.
4. *Never two lists at once.* With two lists on the stack, a negative index here and an offset there let two keys
   exchange chains, and both signatures change.
5. *Numbers are compared as numbers.* Consensus takes non-minimal numbers, so that a signer could show one vector in two
   encodings as unequal under OP_EQUAL. `forms.use` normalises unless told not to, and nibbles are always minimal.
6. *Inequality is proved on exact radices, windows, or after the clamp only.* OP_MIN defines the value of a clamped
   digit, so two index vectors may be one node; by comparing vectors a signer would show it as unequal to itself.
7. *The size of every secret is checked, 20 or 32 bytes.* A chain may be made to start from an item of 81 to 520 bytes,
   which its owner alone can make and which makes any transaction that must repeat it non-standard.
8. *Public values are 20 bytes and distinct within a key and across the keys of a set-up.* A value that occurs twice
   can be opened twice, or by another key's signature; a short one could pass for a number in condition 3.
9. *A label need not be a node.* 54!/16! is 1.76 * 2^192: 43 % of the vectors decode to `NotANodeError`, which is a
   legal label under a valid signature and equal to no hash. Who meets one has to lose by it, not crash.
10. *Off chain the same rules hold as in Script*: numbers as consensus reads them, the clamp, and minimal encoding
    before items are used again (`forms.parse_used`, `forms.used_items`).
11. *A key signs once.* Two signatures let strangers mix them. Record the message durably before signing; the journal in
    `bitvm.keys` does. Seeds have 256 bits and are drawn a key from a PRF over its path.

All leaves that open a used key end with numbers on the stack. Whoever writes a leaf may drop them: condition 3 does not
rest on their being consumed.
"""

from bitvm.script.onetime.cost import Cost, Form, cost
from bitvm.script.onetime.errors import (
    ChainError,
    FormError,
    IndexRangeError,
    ItemCountError,
    MessageError,
    NotANodeError,
    NumberError,
    OneTimeError,
    PublicValueError,
    SchemeError,
    SecretSizeError,
    SeedError,
)
from bitvm.script.onetime.forms import (
    equal_nodes,
    parse_show_and_use,
    parse_shown,
    parse_used,
    show,
    show_and_use,
    show_and_use_items,
    shown_item_sizes,
    shown_items,
    use,
    used_item_sizes,
    used_items,
)
from bitvm.script.onetime.permutation import NODE, NODE_USED, NibblePermutation, Permutation
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme, Scheme, SecretKey, Signature, Slot, check_public_values
from bitvm.script.onetime.window import Window

__all__ = [
    "NODE",
    "NODE_USED",
    "AnyScheme",
    "ChainError",
    "Cost",
    "Form",
    "FormError",
    "IndexRangeError",
    "ItemCountError",
    "MessageError",
    "NibblePermutation",
    "NotANodeError",
    "NumberError",
    "OneTimeError",
    "Permutation",
    "PublicKey",
    "PublicValueError",
    "Scheme",
    "SchemeError",
    "SecretKey",
    "SecretSizeError",
    "SeedError",
    "Signature",
    "Slot",
    "Window",
    "check_public_values",
    "cost",
    "equal_nodes",
    "parse_show_and_use",
    "parse_shown",
    "parse_used",
    "show",
    "show_and_use",
    "show_and_use_items",
    "shown_item_sizes",
    "shown_items",
    "use",
    "used_item_sizes",
    "used_items",
]
