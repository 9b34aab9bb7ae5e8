"""Which attesters have signed the inputs of the claims to come, from what the store holds of their answers.

Answers are checked when they come and again whenever they are read; one that is not good is as none. A claim is made
when one try has a quorum. Who does not answer is asked again with the same try: an attester's answer to it is always
the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from bitvm.daemon.role import Bench
from bitvm.graph.model import challenger, full_name
from bitvm.graph.setting import attest_field
from bitvm.script.onetime.public import PublicKey
from bitvm.setup.attestation import AttestationError, AttestationRound, Attested
from bitvm.setup.input_store import InputMissingError
from bitvm.setup.messages import MessageError


def attester_keys(bench: Bench, slot: int) -> Mapping[int, Mapping[str, PublicKey]]:
    """Return the public keys with which attesters sign the input of a claim: by try, then by attester."""
    setting, claimed = bench.archive.graph.setting, full_name("Claim", slot)
    numbers = range(1, bench.parameters.attesters + 1)
    return {
        attempt: {
            challenger(number): setting.public[f"{claimed}/{attest_field(number, attempt)}"] for number in numbers
        }
        for attempt in range(bench.parameters.tries)
    }


def attestation_round(bench: Bench, slot: int, root: bytes) -> AttestationRound:
    """Return the round for a claim's input as far as it has come; raises InputStoreError."""
    found = AttestationRound(
        bench.secrets,
        bench.archive.setup_id,
        slot,
        bench.inputs.read(root),
        attester_keys(bench, slot),
        bench.parameters.quorum,
        bench.store.attempt(bench.name, slot),
    )
    for data in bench.store.attestations(bench.name, slot):
        try:
            found.accept(data)
        except (AttestationError, MessageError):
            continue  # of another input that was queued before; the round asks for what it lacks
    return found


def collected(bench: Bench, roots: Mapping[int, bytes]) -> Mapping[int, Attested]:
    """Return what a quorum signed, by claim slot; ``roots``: the inputs, by slot."""
    found: dict[int, Attested] = {}
    for slot, root in roots.items() if bench.parameters.attesters else ():
        if not bench.store.attestations(bench.name, slot):
            continue
        try:
            attested = attestation_round(bench, slot, root).attested()
        except InputMissingError:
            continue
        if attested is not None:
            found[slot] = attested
    return found
