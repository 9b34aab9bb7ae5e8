"""Claim and Reveal: the prover signs nodes and shows the list that hashes to one of them.

    Claim     signs ``input_root``, ``trace_root`` (R_1) and ``final_root``; shows list 1
    Reveal_r  signs ``trace_root`` (R_r); shows list r

Each node is a one-time signature in its shown form (``bitvm.script.onetime``). The list is bound to ``trace_root`` by
the hash function alone; whether it hashes to that root is judged off chain, and demanded on chain where it does not.

Script, with the witness ``node signatures, list items, Schnorr signatures`` (top):

    check the Schnorr signatures of the mover and of everybody who pre-signed
    check the sizes of the list items and drop them
    check the one-time signatures; the main stack is empty
    OP_1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitvm.leaves.authority import SCHNORR_BYTES, WitnessError, check_signers, signer_items, split_signers
from bitvm.leaves.node_list import check_list, list_item_sizes, list_items, parse_list
from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import NotANodeError, OneTimeError, Signature
from bitvm.script.onetime.forms import parse_shown, show, shown_item_sizes, shown_items
from bitvm.script.onetime.public import PublicKey


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a commitment leaf was spent with.

    signatures: the one-time signatures by field.
    nodes: the signed 24-byte nodes by field; None where the signed label encodes no node (it equals no hash).
    listed: the nodes shown.
    """

    signatures: Mapping[str, Signature]
    nodes: Mapping[str, bytes | None]
    listed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CommitmentLeaf:
    """Signs one node a field and shows ``list_length`` nodes.

    signers, keys: parties and x-only keys whose Schnorr signatures open the leaf, in script order.
    fields: name and one-time public key of each signed node, in script order.
    """

    name: str
    signers: tuple[str, ...]
    keys: tuple[bytes, ...]
    fields: Mapping[str, PublicKey]
    list_length: int

    @property
    def script(self) -> bytes:
        """Return the leaf script (see the module's picture)."""
        public = list(self.fields.values())
        sizes = shown_item_sizes([key.scheme for key in public])
        b = ScriptBuilder([""] * (len(sizes) + len(list_item_sizes(self.list_length)) + len(self.keys)))
        check_signers(b, self.keys)
        check_list(b, self.list_length)
        show(b, public)
        b.number(1, "signed")
        return b.script()

    def witness(
        self, schnorr: Sequence[bytes], signatures: Mapping[str, Signature], listed: Sequence[bytes]
    ) -> list[bytes]:
        """Return the witness items, bottom first."""
        if len(listed) != self.list_length:
            raise WitnessError(f"{self.name}: {self.list_length} nodes to list, got {len(listed)}")
        ordered = [signatures[field] for field in self.fields]
        return [*shown_items(ordered), *list_items(listed), *signer_items(schnorr)]

    def decode(self, items: Sequence[bytes]) -> Commitment:
        """Read a witness (without script and control block) back; raises WitnessError."""
        below, _ = split_signers(self.name, items, len(self.keys))
        cut = len(below) - len(list_item_sizes(self.list_length))
        listed = parse_list(self.name, below[max(cut, 0) :], self.list_length)
        try:
            parsed = parse_shown(below[:cut], [key.scheme for key in self.fields.values()])
            signatures = dict(zip(self.fields, parsed, strict=True))
            nodes = {field: signed_node(self.fields[field], signatures[field]) for field in self.fields}
        except OneTimeError as error:
            raise WitnessError(f"{self.name}: {error}") from error
        return Commitment(signatures, nodes, listed)

    def item_sizes(self) -> list[int]:
        """Return the largest size of every witness item, in bytes."""
        schemes = [key.scheme for key in self.fields.values()]
        return [
            *shown_item_sizes(schemes),
            *reversed(list_item_sizes(self.list_length)),
            *[SCHNORR_BYTES] * len(self.keys),
        ]


def signed_node(key: PublicKey, signature: Signature) -> bytes | None:
    """Return the node that ``signature`` signs under ``key``, None for a label that encodes no node.

    Raises OneTimeError where the signature is not the key's.
    """
    try:
        node: bytes = key.verify(signature)
    except NotANodeError:
        return None
    return node
