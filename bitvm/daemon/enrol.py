"""A party takes part in a set-up, from its home: what `bitvm setup run` and `challenger join` do.

    1  check     the node's network, the program and its image, our place in the plan, what the wallet can pay
    2  keep      plan, program and starting height in the home; the coins for Fund, promised to this set-up alone
    3  exchange  the prover coordinates at ``setup_address``, a challenger calls there, until everybody has everything
    4  archive   the signed graph, and Fund ready to broadcast, which the prover's daemon does

Who is in the plan is who takes part: every message carries the signature of its sender's identity (`bitvm.setup.seal`).
Everything that is said is on disk before it is sent (`bitvm.setup.progress`), so a process that is killed at any moment
is started again and goes on: with the nonce of its store and the coins and the change of the offer that it made. A
challenger that was away when the prover ended has to wait until the prover runs the set-up once more.

What a party leaves of its coins for Fund's fee, at the parameters' ``fee_ceiling``: the bytes of its own inputs and
change, and its part of all others, rounded up. So Fund confirms as long as fees are below the ceiling; nobody can raise
its fee later but by a child. A change that would be dust is left to the fee too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio
from bitcoin.core import CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.fees import key_path_vsize
from bitvm.chain.keys import SpendableCoin
from bitvm.chain.purse import Purse
from bitvm.chain.purse_form import InsufficientFundsError
from bitvm.chain.remote import RemoteNode
from bitvm.daemon.home import Home, HomeError, SetupFolder
from bitvm.daemon.listening import why_not
from bitvm.daemon.store import DaemonStore, DaemonStoreError
from bitvm.graph.costs import defence
from bitvm.graph.fund import contribution
from bitvm.graph.model import PROVER, all_parties
from bitvm.graph.parameters import DUST, Parameters
from bitvm.keys.journal import JournalError
from bitvm.printable import printable
from bitvm.setup.archive import Archive, ArchiveError
from bitvm.setup.channel import LIMITS, ChannelError, Limits, open_tasks
from bitvm.setup.coordinator import Coordinator
from bitvm.setup.identity import IdentityError
from bitvm.setup.joiner import join
from bitvm.setup.messages import MessageError, Offer, decode
from bitvm.setup.plan import Address, SetupPlan
from bitvm.setup.progress import Finished, Progress
from bitvm.setup.seal import content_of
from bitvm.setup.session import Session, SetupError
from bitvm.setup.store import ROUNDS, SetupStore, SetupStoreError
from lvm.elf import ElfError, load_elf

LOOK_SECONDS = 0.2
"""How often the state of the exchange is looked at, to tell it."""

LINGER_SECONDS = 60.0
"""How long the prover stays at the end for challengers that lack its last messages."""

PATIENCE_SECONDS = 24 * 3_600.0
"""How long a challenger calls a prover that does not answer."""

TROUBLE_SECONDS = 30.0
"""How often a new reason why connections end is told while nothing else changes; strangers can make many."""

_MAX_TROUBLE = 500

_ERRORS = (
    HomeError,
    DaemonStoreError,
    SetupError,
    SetupStoreError,
    ArchiveError,
    ChannelError,
    IdentityError,
    JournalError,
)
"""What ends a set-up and says why by itself."""


class EnrolError(Exception):
    """The set-up cannot go on; the message says why, and what to do."""


class AffordError(EnrolError):
    """The wallet holds too little; says what is needed, what is there and where to pay."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a set-up stands: how many of its `ROUNDS` rounds are complete, and who is waited for.

    trouble: why the last connection ended, empty while there is nothing to say of it. It may hold text of others.
    """

    rounds: int
    waiting: tuple[str, ...]
    trouble: str = ""

    def __str__(self) -> str:
        """Return it as a sentence."""
        waiting = f"; waiting for {', '.join(self.waiting)}" if self.waiting else ""
        trouble = f"; last connection: {printable(self.trouble, _MAX_TROUBLE)}" if self.trouble else ""
        return f"{self.rounds} of {ROUNDS} rounds are complete{waiting}{trouble}"


@dataclass(frozen=True, slots=True)
class Offered:
    """What a party gives to Fund and gets back."""

    coins: tuple[SpendableCoin, ...]
    change: int


def fund_purpose(name: str) -> str:
    """Return the purpose under which the purse keeps the coins for Fund of a set-up."""
    return f"fund {name}"


async def enrol(
    home: Home,
    plan: SetupPlan,
    program: Path,
    node: RemoteNode,
    purse: Purse,
    *,
    kept: int = 0,
    tell: Callable[[Standing], None] = lambda _: None,
    listen: Address | None = None,
    limits: Limits = LIMITS,
    linger: float = LINGER_SECONDS,
    patience: float = PATIENCE_SECONDS,
) -> Archive:
    """Take part in the set-up until it has ended, and return it.

    A set-up that has ended is run again by the prover alone, which stays for ``linger`` seconds at most: a challenger
    that lacks the last messages gets them.

    kept: satoshi that the wallet has to keep for other set-ups. tell: called when the standing changes. listen: where
    the prover binds, if not at ``setup_address``. Raises EnrolError, AffordError, and ChainError from the node.
    """
    try:
        content = await trio.to_thread.run_sync(program.read_bytes)
        party, folder = await trio.to_thread.run_sync(_keep, home, plan, content, node)
        with ExitStack() as stack:
            store = stack.enter_context(_open_store(folder, party, plan.parameters))
            if store.complete() < ROUNDS or (party == PROVER and linger):
                journal = stack.enter_context(home.open_journal())
                offer = partial(_offered, home, plan, store, purse, node=node, kept=kept)
                offered = await trio.to_thread.run_sync(offer)
                session = Session(
                    party,
                    plan.parameters,
                    home.seed,
                    journal,
                    nonce=store.nonce,
                    coins=offered.coins,
                    change=offered.change,
                    change_script=purse.script_pubkey,
                    payout_script=purse.script_pubkey,
                )
                progress = Progress(session, store, plan, home.identity)
                await progress.resume()
                if party == PROVER:
                    await _coordinate(progress, listen, tell=tell, limits=limits, linger=linger)
                else:
                    await _join(progress, tell=tell, limits=limits, patience=patience)
        tell(Standing(ROUNDS, ()))
        return await trio.to_thread.run_sync(Archive.load, folder.exchange_path, plan.parameters)
    except OSError as error:
        raise EnrolError(f"{error.filename or plan.name}: {error.strerror or error}") from error
    except _ERRORS as error:
        raise EnrolError(f"{plan.name}: {error}") from error


# ---- checks


def check_program(plan: SetupPlan, program: bytes) -> None:
    """Raise EnrolError unless this is the program of the plan, and its image the one that the parameters name."""
    digest = hashlib.sha256(program).digest()
    if digest != plan.program:
        raise EnrolError(f"{plan.name}: the program has SHA256 {digest.hex()}, the plan says {plan.program.hex()}")
    try:
        image = load_elf(program)
    except ElfError as error:
        raise EnrolError(f"{plan.name}: the program of the plan: {error}") from error
    if (root := image.root()) != plan.parameters.image_root:
        raise EnrolError(
            f"{plan.name}: parameters.image_root is {plan.parameters.image_root.hex()}, the program's is {root.hex()}"
        )
    if image.entry != plan.parameters.entry:
        raise EnrolError(f"{plan.name}: parameters.entry is {plan.parameters.entry}, the program's is {image.entry}")


def _check_not_given_up(home: Home, name: str) -> None:
    """Raise EnrolError where the coins for this Fund were taken back: our daemon never sends it, nor should anybody."""
    if not home.daemon_path.exists():
        return
    with DaemonStore.open(home.daemon_path) as store:
        if store.is_given_up(name):
            raise EnrolError(f"{name}: it was given up, its coins were taken back; plan another, under another name")


def _keep(home: Home, plan: SetupPlan, program: bytes, node: RemoteNode) -> tuple[str, SetupFolder]:
    """Check plan, program, identity and node, then keep what the set-up is about; return our name and the folder."""
    party = plan.party_of(home.identity.public)
    if party is None:
        raise EnrolError(f"{plan.name}: our identity {home.identity.public.hex()} takes no part in this plan")
    if (party == PROVER) != (home.role == "prover"):
        raise EnrolError(f"{plan.name}: the plan has us as {party}, and this is the home of a {home.role}")
    _check_not_given_up(home, plan.name)
    check_program(plan, program)
    info = node.info()
    if info.network != plan.network:
        raise EnrolError(f"{plan.name}: the plan is for {plan.network}, the node is on {info.network}")
    folder = home.adopt(plan, program)
    folder.begin(info.blocks)
    return party, folder


# ---- money


def fee_share(parameters: Parameters, coins: int) -> int:
    """Return what a party that gives so many coins leaves for Fund's fee, in satoshi, its change included."""
    output = CTxOut(DUST, CScript(b"\x51\x20" + bytes(32)))
    common = [output] * (parameters.claims + parameters.challengers)
    parties = len(all_parties(parameters.challengers))
    own = key_path_vsize(coins, [output]) - key_path_vsize(0, []) + 1  # both sizes are rounded
    return math.ceil(parameters.fee_ceiling * (own + key_path_vsize(0, common) / parties))


def _offered(home: Home, plan: SetupPlan, store: SetupStore, purse: Purse, *, node: RemoteNode, kept: int) -> Offered:
    """Return coins and change: those of the offer that was made, or coins that are promised to this set-up now."""
    made = store.messages(0).get(store.party)
    if made is None:
        return _promise(plan, store.party, node, purse, kept)
    try:
        _, offer = decode(content_of(made))
    except MessageError as error:
        raise EnrolError(f"{store.path}: our offer cannot be read: {error}") from error
    if not isinstance(offer, Offer):
        raise EnrolError(f"{store.path}: what is stored as our offer is none")
    key = home.wallet_key()
    coins = [SpendableCoin(coin.outpoint, coin.spent, key) for coin in offer.coins]
    if store.complete() < ROUNDS and any(node.coin(coin.outpoint, include_mempool=False) is None for coin in coins):
        raise EnrolError(f"{plan.name}: a coin that we offered is spent; this set-up can never be funded, plan another")
    if any(bytes(coin.output.scriptPubKey) != key.script_pubkey for coin in coins):
        raise EnrolError(f"{store.path}: our offer gives coins of another wallet; the home has another seed now")
    return Offered(tuple(coins), offer.change)


def _promise(plan: SetupPlan, party: str, node: RemoteNode, purse: Purse, kept: int) -> Offered:
    """Check that the wallet can bear the set-up, then promise the coins for Fund, durably."""
    parameters, purpose = plan.parameters, fund_purpose(plan.name)
    purse.refresh(node, node.info().blocks, purse.search(node))
    held = sum(item.coin.output.nValue for item in purse.reserved() if item.purpose == purpose)
    expected = defence(parameters, party)
    needed = expected.total + fee_share(parameters, 1) + kept
    found = purse.balance() + held
    if found < needed:
        others = f" and {kept} sat for other set-ups" if kept else ""
        raise AffordError(
            f"{plan.name}: {needed} sat needed: {expected.contribution} sat for Fund, {expected.fees} sat for the fees "
            f"of the worst case, {fee_share(parameters, 1)} sat for the fee of Fund{others}; {found} sat are there; "
            f"pay {needed - found} sat to {purse.address(plan.network)} and try again when that is confirmed"
        )
    try:
        coins = _reserve(plan, party, purse)
    except InsufficientFundsError as error:
        raise AffordError(f"{plan.name}: {error}; pay more to {purse.address(plan.network)}") from error
    change = _sum(coins) - contribution(parameters, party) - fee_share(parameters, len(coins))
    return Offered(coins, change if change >= DUST else 0)


def _reserve(plan: SetupPlan, party: str, purse: Purse) -> tuple[SpendableCoin, ...]:
    """Promise coins that reach for the contribution and for their own share of the fee."""
    coins: tuple[SpendableCoin, ...] = ()
    counted = 0
    while len(coins) != counted or not coins:
        counted = max(1, len(coins))
        amount = contribution(plan.parameters, party) + fee_share(plan.parameters, counted)
        coins = tuple(purse.reserve_many(fund_purpose(plan.name), amount))
    return coins


def _sum(coins: Sequence[SpendableCoin]) -> int:
    return sum(coin.output.nValue for coin in coins)


# ---- the exchange


def _open_store(folder: SetupFolder, party: str, parameters: Parameters) -> SetupStore:
    use = SetupStore.open if folder.exchange_path.exists() else SetupStore.create
    return use(folder.exchange_path, party, parameters)


async def _coordinate(
    progress: Progress, listen: Address | None, *, tell: Callable[[Standing], None], limits: Limits, linger: float
) -> None:
    coordinator, plan = Coordinator(progress, limits), progress.plan
    address = listen or plan.setup_address
    try:
        listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as error:
        field = "setup_listen" if listen else "setup_address of the plan (setup_listen of the configuration overrides)"
        text = f"{plan.name}: {field}: cannot listen on {address}: {why_not(address.host, error)}"
        raise EnrolError(text) from error
    try:
        run = partial(coordinator.run, listeners, linger=linger)
        await _told(run, lambda: Standing(len(progress.rounds), tuple(coordinator.missing()), progress.trouble), tell)
    finally:
        for listener in listeners:
            listener.socket.close()


async def _join(progress: Progress, *, tell: Callable[[Standing], None], limits: Limits, patience: float) -> None:
    run = partial(join, progress, *progress.plan.setup_address, limits=limits, patience=patience)
    await _told(run, lambda: Standing(len(progress.rounds), (PROVER,), progress.trouble), tell)


async def _told(
    run: Callable[[], Awaitable[Finished]], look: Callable[[], Standing], tell: Callable[[Standing], None]
) -> None:
    """Run the exchange, and tell its standing when that changes; new trouble alone not too often."""

    async def watch() -> None:
        told, quiet = Standing(-1, ()), -math.inf
        while True:
            standing, now = look(), trio.current_time()
            moved = (standing.rounds, standing.waiting) != (told.rounds, told.waiting)
            troubled = standing.trouble not in ("", told.trouble) and now >= quiet
            if moved or troubled:
                tell(standing)
                told = standing
                quiet = now + TROUBLE_SECONDS if standing.trouble else quiet
            await trio.sleep(LOOK_SECONDS)

    async with open_tasks() as nursery:
        nursery.start_soon(watch)
        await run()
        nursery.cancel_scope.cancel()
