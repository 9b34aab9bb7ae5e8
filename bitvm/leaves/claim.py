"""Claim: the prover signs three nodes and shows list 1; attesters sign one of the nodes, the root of the input.

A challenger can only judge what it can execute again, so a claim carries the signatures of attesters that hold the
input's bytes. Each signs the prover's ``input_root`` under a key of its own, and Script demands that all signed one
label: they are opened with one index vector (``bitvm.script.onetime.agreement``). A label of the prover that encodes no
node can be attested as any other; it equals no hash, so no honest attester signs it.

Script, with the witness ``signatures of the other nodes, root items, list items, Schnorr signatures`` (top):

    check the Schnorr signatures of the mover and of everybody who pre-signed
    check the sizes of the list items and drop them
    check that the prover and every attester signed one input_root
    check the signatures of the other nodes; the main stack is empty
    OP_1

Without attesters it is ``CommitmentLeaf``, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitvm.leaves.authority import SCHNORR_BYTES, WitnessError, check_signers, signer_items, split_signers
from bitvm.leaves.commitment import Commitment, CommitmentLeaf, signed_node
from bitvm.leaves.node_list import check_list, list_item_sizes, list_items, parse_list
from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import FormError, OneTimeError, Signature
from bitvm.script.onetime.agreement import agree, agreed_item_sizes, agreed_items, parse_agreed
from bitvm.script.onetime.forms import parse_shown, show, shown_item_sizes, shown_items
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import check_public_values

ATTESTED = "input_root"
"""The field that attesters sign too."""


@dataclass(frozen=True, slots=True)
class AttestedCommitment(Commitment):
    """What a claim leaf was spent with.

    attestations: the signatures over the prover's ``input_root`` by attester.
    """

    attestations: Mapping[str, Signature]


@dataclass(frozen=True, slots=True)
class ClaimLeaf:
    """Signs one node a field and shows ``list_length`` nodes; ``attesters`` sign ``input_root`` too.

    signers, keys: parties and x-only keys whose Schnorr signatures open the leaf, in script order.
    fields: name and one-time public key of each node that the prover signs; ``input_root`` is one of them.
    attesters: name and one-time public key, of the scheme of ``input_root``, of each attester of this leaf; the names
    are none of the fields'.
    """

    name: str
    signers: tuple[str, ...]
    keys: tuple[bytes, ...]
    fields: Mapping[str, PublicKey]
    list_length: int
    attesters: Mapping[str, PublicKey]

    @property
    def script(self) -> bytes:
        """Return the leaf script (see the module's picture).

        Raises FormError for keys of different schemes or a name that is an attester's and a field's, and
        PublicValueError for keys that share a public value.
        """
        if not self.attesters:
            return self._unattested.script
        if shared := sorted(set(self.fields) & set(self.attesters)):
            raise FormError(f"{self.name}: {shared} are fields and attesters")
        check_public_values(key.values for key in (*self.fields.values(), *self.attesters.values()))
        b = ScriptBuilder([""] * len(self.item_sizes()))
        check_signers(b, self.keys)
        check_list(b, self.list_length)
        agree(b, self._agreed)
        show(b, list(self._others.values()))
        b.number(1, "signed")
        return b.script()

    def witness(
        self,
        schnorr: Sequence[bytes],
        signatures: Mapping[str, Signature],
        listed: Sequence[bytes],
    ) -> list[bytes]:
        """Return the witness items, bottom first; ``signatures``: by field and by attester.

        Raises WitnessError for a wrong number of nodes, an attester without signature, and signatures of another root
        than the prover's.
        """
        plain = self._unattested.witness(schnorr, signatures, listed)
        if not self.attesters:
            return plain
        if missing := sorted(set(self.attesters) - set(signatures)):
            raise WitnessError(f"{self.name}: not attested by {', '.join(missing)}")
        try:
            agreed = agreed_items([signatures[ATTESTED], *(signatures[name] for name in self.attesters)])
        except OneTimeError as error:
            raise WitnessError(f"{self.name}: {ATTESTED}: {error}") from error
        others = shown_items([signatures[field] for field in self._others])
        return [*others, *agreed, *list_items(listed), *signer_items(schnorr)]

    def decode(self, items: Sequence[bytes]) -> AttestedCommitment:
        """Read a witness (without script and control block) back; raises WitnessError."""
        if not self.attesters:
            plain = self._unattested.decode(items)
            return AttestedCommitment(plain.signatures, plain.nodes, plain.listed, {})
        below, _ = split_signers(self.name, items, len(self.keys))
        cut = max(len(below) - len(list_item_sizes(self.list_length)), 0)
        listed = parse_list(self.name, below[cut:], self.list_length)
        schemes = [key.scheme for key in self._others.values()]
        shown = len(shown_item_sizes(schemes))
        try:
            root, *attested = parse_agreed(below[shown:cut], self.fields[ATTESTED].scheme, len(self._agreed))
            parsed = dict(zip(self._others, parse_shown(below[:shown], schemes), strict=True)) | {ATTESTED: root}
            signatures = {field: parsed[field] for field in self.fields}
            nodes = {field: signed_node(self.fields[field], signatures[field]) for field in self.fields}
            attestations = dict(zip(self.attesters, attested, strict=True))
            for attester, signature in attestations.items():
                signed_node(self.attesters[attester], signature)
        except OneTimeError as error:
            raise WitnessError(f"{self.name}: {error}") from error
        return AttestedCommitment(signatures, nodes, listed, attestations)

    def item_sizes(self) -> list[int]:
        """Return the largest size of every witness item, in bytes."""
        if not self.attesters:
            return self._unattested.item_sizes()
        return [
            *shown_item_sizes([key.scheme for key in self._others.values()]),
            *agreed_item_sizes(self.fields[ATTESTED].scheme, len(self._agreed)),
            *reversed(list_item_sizes(self.list_length)),
            *[SCHNORR_BYTES] * len(self.keys),
        ]

    @property
    def _unattested(self) -> CommitmentLeaf:
        return CommitmentLeaf(self.name, self.signers, self.keys, self.fields, self.list_length)

    @property
    def _agreed(self) -> list[PublicKey]:
        """The keys that have to sign one label, the prover's first."""
        return [self.fields[ATTESTED], *self.attesters.values()]

    @property
    def _others(self) -> dict[str, PublicKey]:
        return {field: key for field, key in self.fields.items() if field != ATTESTED}
