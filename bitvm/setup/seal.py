"""Who says what in a set-up: every message is sealed by its sender's identity, and everybody checks every seal.

    message  =  seal (64 bytes, Ed25519)  ||  content (`bitvm.setup.messages`)
    sealed   =  tag || plan's digest (32) || round (1) || history (32) || SHA256(content) (32)

The history is the SHA256 over the digests of all rounds before, seals included. Every part has a fixed length, so no
two statements are the same bytes. In a plan every party has another identity, so the key says whose the message is.

Why: TLS proves to the prover who calls, and to a challenger that the prover answers. What a challenger hears of the
other challengers comes through the prover, which could put itself in the place of all of them: then one challenger of
many, and attesters that are the prover, would look like the set-up of the plan.

What a party knows when it has taken round 2, the agreements, before it signs Fund:

1. Each agreement has the seal of the identity that the plan names for that party, so who holds this key made it.
2. The seal is over plan and history, so it was made for this plan, these offers and these keys, byte for byte. Who
   follows the protocol agrees only to offers and keys among which are its own (`Session.keys`, `Session.agreement`).
3. The history holds one's own offer with its fresh nonce, so no seal comes from another set-up, and the number of the
   round keeps seals of other rounds out. Nothing else that an identity signs begins like our tag: TLS begins with 64
   spaces (RFC 8446, 4.4.3), a certificate with the byte 0x30.

So whoever signs Fund knows that every identity of the plan has agreed to the same plan, offers, keys and graph. A
prover that keeps somebody out keeps the set-up from its end. The seals of the other rounds add that a forged message is
found in its round, by name. An identity whose owner helps the prover is beyond this: that is what a quorum is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bitvm.setup.identity import SIGNATURE_BYTES, Identity, is_signed
from bitvm.setup.plan import SetupPlan
from bitvm.setup.session import SetupError

SEAL_BYTES = SIGNATURE_BYTES
_TAG = b"bitvm set-up message 1"


def seal(plan: SetupPlan, identity: Identity, number: int, rounds: Sequence[bytes], content: bytes) -> bytes:
    """Return the message of our identity's party for round ``number``; ``rounds``: the digests of all rounds before.

    Raises IdentityError, and SetupError where the identity takes no part in the plan.
    """
    if plan.party_of(identity.public) is None:
        raise SetupError(f"our identity {identity.public.hex()} takes no part in the plan of {plan.name}")
    return identity.sign(_statement(plan, number, rounds, content)) + content


def unseal(plan: SetupPlan, party: str, number: int, rounds: Sequence[bytes], message: bytes) -> bytes:
    """Return the content of a message; raises SetupError unless ``party`` has sealed it for just this place."""
    content, key = content_of(message), plan.identity_of(party)
    if not is_signed(key, message[:SEAL_BYTES], _statement(plan, number, rounds, content)):
        raise SetupError(
            f"{party}: its message of round {number + 1} is not signed for this set-up by the identity {key.hex()} "
            "that the plan names"
        )
    return content


def content_of(message: bytes) -> bytes:
    """Return the content of a message whose seal was checked before."""
    return message[SEAL_BYTES:]


def _statement(plan: SetupPlan, number: int, rounds: Sequence[bytes], content: bytes) -> bytes:
    """Return the bytes that a seal signs."""
    history = hashlib.sha256(b"".join(rounds)).digest()
    return _TAG + plan.digest() + bytes([number]) + history + hashlib.sha256(content).digest()
