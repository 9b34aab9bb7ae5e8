"""Parties of a set-up that talk over real sockets and real TLS on the loopback, each with its own files."""

from __future__ import annotations

import hashlib
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path

import trio
from bitcoin.core import COutPoint, CTxOut
from bitcoin.core.script import CScript
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bitvm.chain.keys import SpendableCoin, TaprootKey
from bitvm.graph.fund import contribution
from bitvm.graph.model import PROVER
from bitvm.graph.parameters import Parameters
from bitvm.keys.journal import Journal
from bitvm.keys.seed import Seed
from bitvm.setup.channel import Limits
from bitvm.setup.coordinator import Coordinator
from bitvm.setup.identity import Identity
from bitvm.setup.joiner import join
from bitvm.setup.plan import Address, PlannedParty, SetupPlan
from bitvm.setup.progress import Finished, Progress
from bitvm.setup.session import Session
from bitvm.setup.store import SetupStore

HOST = "127.0.0.1"
LIMITS = Limits(handshake_seconds=20, farewell_seconds=1, idle_seconds=40, alive_seconds=5)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def new_identity(folder: Path, name: str) -> Identity:
    return Identity.create(folder / f"{name}.identity")


def with_version(identity: Identity, version: int) -> Identity:
    """Have an identity show a certificate, signed by its key, of an X.509 version that there is not (3 is 2 here)."""
    content = identity.path.read_bytes()
    key = serialization.load_pem_private_key(content, None)
    certificate = x509.load_pem_x509_certificate(content)
    signed = certificate.tbs_certificate_bytes
    odd = signed.replace(b"\xa0\x03\x02\x01\x02", bytes([0xA0, 3, 2, 1, version]), 1)
    der = certificate.public_bytes(serialization.Encoding.DER).replace(signed, odd)[:-64] + key.sign(odd)
    pem = content.partition(b"-----BEGIN CERT")[0] + ssl.DER_cert_to_PEM_cert(der).encode()
    identity.path.write_bytes(pem)
    return identity


async def listen() -> tuple[list[trio.SocketListener], int]:
    listeners = await trio.open_tcp_listeners(0, host=HOST)
    return listeners, listeners[0].socket.getsockname()[1]


@dataclass
class Party:
    """A party's files, and its plan; `progress` opens them as a process that starts does."""

    name: str
    parameters: Parameters
    folder: Path
    salt: str = ""
    seed_salt: str = ""
    identity: Identity = field(init=False)
    plan: SetupPlan = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "key.identity"
        self.identity = Identity.load(path) if path.exists() else Identity.create(path)

    @property
    def store_path(self) -> Path:
        return self.folder / f"setup{self.salt}.sqlite"

    def open_store(self) -> SetupStore:
        use = SetupStore.open if self.store_path.exists() else SetupStore.create
        return use(self.store_path, self.name, self.parameters)

    def session(self, store: SetupStore) -> Session:
        seed = Seed(digest(f"seed {self.name} {self.seed_salt}"))
        path = self.folder / f"journal{self.seed_salt}.sqlite"
        key = TaprootKey(digest(f"coin {self.name}"))
        output = CTxOut(contribution(self.parameters, self.name) + 1_000, CScript(key.script_pubkey))
        return Session(
            self.name,
            self.parameters,
            seed,
            Journal.open(path, seed) if path.exists() else Journal.create(path, seed),
            nonce=store.nonce,
            coins=[SpendableCoin(COutPoint(digest(f"outpoint {self.name}"), 0), output, key)],
            change=0,
            change_script=key.script_pubkey,
            payout_script=key.script_pubkey,
        )

    async def progress(self, store: SetupStore) -> Progress:
        progress = Progress(self.session(store), store, self.plan, self.identity)
        await progress.resume()
        return progress

    async def coordinate(
        self, listeners: list[trio.SocketListener], limits: Limits = LIMITS, linger: float = 60
    ) -> Finished:
        try:
            with self.open_store() as store:
                coordinator = Coordinator(await self.progress(store), limits)
                return await coordinator.run(listeners, linger=linger)
        finally:
            for listener in listeners:
                listener.socket.close()

    async def join(self, port: int, patience: float = 60) -> Finished:
        with self.open_store() as store:
            return await join(await self.progress(store), HOST, port, limits=LIMITS, patience=patience)


def plan_of(parameters: Parameters, *everybody: Party) -> SetupPlan:
    """Return the plan of these parties, the prover first."""
    prover, *challengers = [PlannedParty(party.identity.public) for party in everybody]
    return SetupPlan("ledger-1", "regtest", parameters, bytes(32), Address(HOST, 1), prover, tuple(challengers))


def parties(folder: Path, parameters: Parameters) -> tuple[Party, list[Party]]:
    """Return prover and challengers, new or as their files say, with one plan."""
    names = [f"challenger{number}" for number in range(1, parameters.challengers + 1)]
    prover, *challengers = everybody = [Party(name, parameters, folder / name) for name in (PROVER, *names)]
    for party in everybody:
        party.plan = plan_of(parameters, *everybody)
    return prover, challengers


async def run_one(name: str, folder: Path, port: int) -> Finished:
    """Run one party of the smallest set-up that has two challengers, in a process of its own."""
    prover, challengers = parties(folder, Parameters(bytes(24), levels=1, width=4, challengers=2))
    if name == PROVER:
        listeners = await trio.open_tcp_listeners(port, host=HOST)
        return await prover.coordinate(listeners)
    (party,) = (challenger for challenger in challengers if challenger.name == name)
    return await party.join(port)


if __name__ == "__main__":
    ended = trio.run(run_one, sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    print(ended.signed.graph.hash().hex(), ended.fund.serialize().hex())
