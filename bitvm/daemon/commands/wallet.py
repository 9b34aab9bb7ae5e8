"""``wallet``: the money for fees: look at it, pay from it, cut it into coins."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rich.console import Console

from bitvm.chain.interface import Rejected
from bitvm.chain.purse import Purse
from bitvm.chain.purse_form import PurseError
from bitvm.chain.remote import RemoteNode
from bitvm.daemon.commands.desk import Desk, Side, open_desk, tell_unread
from bitvm.daemon.commands.framework import (
    FINE,
    Command,
    CommandError,
    HelpText,
    add_common,
    answer,
    said,
    table_of,
)
from bitvm.daemon.commands.snapshots import from_home
from bitvm.daemon.enrol import fund_purpose
from bitvm.script.weight import txid, vsize

TARGET_BLOCKS = 6
"""Blocks within which a payment should be confirmed, where no feerate is given."""

_TAKE_BACK = """\
Pay the coins that were promised to Fund of a set-up to the wallet itself. Then Fund can never be confirmed, and nobody
is bound to the set-up any more. By default it pays more for its bytes than Fund does, or somebody else who has all
signatures could put Fund in its place. If Fund waits in the mempool, this replaces it only if its whole fee is higher,
too."""

MIN_PAYMENT = 1_000
"""Satoshi; less is not worth its fee, or dust."""
MAX_SPLIT = 200


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin: where it is, its value in satoshi, and what it is promised to; None for a free one."""

    txid: str
    n: int
    value: int
    promised_to: str | None


@dataclass(frozen=True, slots=True)
class Wallet:
    """The wallet at a block. balance: of the free coins. reserve: what the worst case of all set-ups needs."""

    address: str
    height: int | None
    balance: int
    reserve: int
    coins: tuple[Coin, ...]


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that was sent. fee in satoshi, feerate in sat/vB."""

    txid: str
    fee: int
    feerate: float
    vsize: int


def commands(side: Side) -> tuple[Command, ...]:
    """Return the command."""
    text = HelpText(
        "the money for fees: look, pay, cut into coins",
        """\
Show the address, the free balance, and every coin with what it is promised to; coins are as the daemon saw them last,
with --scan as the node finds them now (minutes on a large chain). `wallet send` pays somebody, `wallet split` cuts a
large coin into fee coins, since every game needs confirmed coins of its own. `wallet take-back` ends a set-up whose
Fund never came, because somebody does not sign it or gave a coin that is gone: it pays the coins that were promised to
Fund to the wallet itself, and once that is confirmed, Fund is impossible. These three write and send.""",
        f"""\
examples:
  {side.program} wallet
  {side.program} wallet --scan --json | jq .balance
  {side.program} wallet send bcrt1p… 250000 --feerate 3
  {side.program} wallet split 4
  {side.program} wallet take-back ledger-1""",
    )
    return (Command("wallet", text, partial(_wallet, side), partial(_add, side)),)


def _add(side: Side, parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scan", action="store_true", help="let the node look for all coins of the address")
    actions = parser.add_subparsers(metavar="ACTION", dest="action")
    send = actions.add_parser("send", help="pay an address", description="Pay an address; sends at once.")
    send.add_argument("address", metavar="ADDRESS", help="an address of the configured network")
    send.add_argument("amount", metavar="AMOUNT", type=int, help="satoshi")
    split = actions.add_parser("split", help="cut fee coins", description="Cut fee coins; sends at once.")
    split.add_argument("count", metavar="COUNT", type=int, help=f"how many, 1 to {MAX_SPLIT}")
    split.add_argument("--value", type=int, metavar="SAT", help="of each (default: fees.coin_value)")
    for inner in (send, split):
        inner.add_argument("--anyway", action="store_true", help="even if less is left than the worst case needs")
    back = actions.add_parser("take-back", help="take the coins of a Fund back", description=_TAKE_BACK)
    back.add_argument("setup", metavar="SETUP", help="a set-up whose Fund is not confirmed")
    for inner, action in ((send, _send), (split, _split), (back, _take_back)):
        inner.add_argument("--feerate", type=float, metavar="F", help="sat/vB (default: what the market asks)")
        inner.add_argument("--scan", action="store_true", default=argparse.SUPPRESS, help="look for all coins first")
        inner.set_defaults(act=partial(action, side))
        add_common(inner, inherited=True)


def _wallet(side: Side, arguments: argparse.Namespace) -> int:
    if arguments.action is not None:
        code: int = arguments.act(arguments)
        return code
    with open_desk(arguments, side) as desk:
        found = wallet_of(desk, scan=arguments.scan)
        unread = dict(desk.unread)
    answer(arguments, found, _show)
    return tell_unread(arguments, unread)


def wallet_of(desk: Desk, *, scan: bool = False) -> Wallet:
    """Return the wallet; asks the node for coins where nothing was recorded yet, or with ``scan``.

    A set-up that cannot be read is not in the reserve.
    """
    snapshot = from_home(desk, whole=False)
    reserve = 0 if snapshot.wallet is None else snapshot.wallet.reserve
    with desk.purse() as purse:
        if scan or not purse.searched:
            tip = desk.node.tip()
            purse.refresh(desk.node, tip.height, purse.search(desk.node))
        free = [Coin(_id(coin.outpoint.hash), coin.outpoint.n, coin.output.nValue, None) for coin in purse.coins()]
        promised = [
            Coin(_id(held.coin.outpoint.hash), held.coin.outpoint.n, held.coin.output.nValue, held.purpose)
            for held in purse.reserved()
        ]
        return Wallet(purse.address(desk.config.network), snapshot.tip, purse.balance(), reserve, (*free, *promised))


def _show(console: Console, wallet: Wallet) -> None:
    console.print(f"address  {wallet.address}", soft_wrap=True)
    console.print(f"free     {wallet.balance:,} sat")
    style = "" if wallet.balance >= wallet.reserve else "yellow"
    console.print(said(f"needed   {wallet.reserve:,} sat for the fees of the worst case", style))
    rows = [(f"{coin.txid}:{coin.n}", coin.value, coin.promised_to or "free") for coin in wallet.coins]
    if rows:
        console.print(table_of(("coin", "satoshi", "promised to"), rows))


# ---- paying


def _send(side: Side, arguments: argparse.Namespace) -> int:
    if arguments.amount < MIN_PAYMENT:
        raise CommandError(f"AMOUNT {arguments.amount}: at least {MIN_PAYMENT:,} sat needed")
    with _paying(side, arguments) as (desk, node, purse):
        script = _script_of(node, arguments.address, desk.config.network)
        feerate = _feerate(desk, node, arguments)
        _keep_reserve(desk, purse, arguments.amount, anyway=arguments.anyway)
        sent = purse.send(node, script, arguments.amount, feerate)
        _tell(arguments, purse, txid(sent), vsize(sent))
    return FINE


def _split(side: Side, arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.count <= MAX_SPLIT:
        raise CommandError(f"COUNT {arguments.count}: 1 to {MAX_SPLIT} needed")
    with _paying(side, arguments) as (desk, node, purse):
        value = desk.config.fees.coin_value if arguments.value is None else arguments.value
        if value < MIN_PAYMENT:
            raise CommandError(f"--value {value}: at least {MIN_PAYMENT:,} sat needed")
        sent = purse.split(node, arguments.count, value, _feerate(desk, node, arguments))
        _tell(arguments, purse, txid(sent), vsize(sent))
    return FINE


def _take_back(side: Side, arguments: argparse.Namespace) -> int:
    with _paying(side, arguments) as (desk, node, purse):
        setup, purpose = arguments.setup, fund_purpose(arguments.setup)
        held = [promise.coin.outpoint for promise in purse.reserved() if promise.purpose == purpose]
        if not held:
            raise CommandError(f"SETUP {setup!r:.60}: no coin is promised to its Fund; see `{side.program} wallet`")
        if any(node.coin(outpoint, include_mempool=False) is None for outpoint in held):
            raise CommandError(f"SETUP {setup}: a coin of its Fund is spent in a block already, most likely by Fund")
        feerate = _feerate(desk, node, arguments)
        if arguments.feerate is None:
            feerate = max(feerate, desk.home.setup(setup).plan().parameters.fee_ceiling + 1)
        with desk.own_store() as store:
            store.give_up(setup)  # before: the daemon must not send Fund in between
            try:
                sent = purse.take_back(node, purpose, feerate)
            except (Rejected, PurseError):
                store.give_up(setup, given_up=False)
                raise
        _tell(arguments, purse, txid(sent), vsize(sent))
    return FINE


@contextmanager
def _paying(side: Side, arguments: argparse.Namespace) -> Iterator[tuple[Desk, RemoteNode, Purse]]:
    """Open the home's own wallet, brought up to date, and a node that sends."""
    with (
        open_desk(arguments, side) as desk,
        RemoteNode(desk.config.node.access) as node,
        desk.own_purse(node) as purse,
    ):
        found = purse.search(node) if arguments.scan or not purse.searched else None
        purse.refresh(node, node.tip().height, found)
        yield desk, node, purse


def _script_of(node: RemoteNode, address: str, network: str) -> bytes:
    """Return what an address stands for, as the node knows it."""
    found = node.call("validateaddress", address)
    if not found.get("isvalid"):
        raise CommandError(f"ADDRESS {address!r:.120}: not an address on {network}; {found.get('error', 'check it')}")
    return bytes.fromhex(found["scriptPubKey"])


def _feerate(desk: Desk, node: RemoteNode, arguments: argparse.Namespace) -> float:
    highest = desk.config.fees.max_feerate
    if arguments.feerate is None:
        return min(node.market_feerate(TARGET_BLOCKS), highest)
    if not 0 < arguments.feerate <= highest:
        raise CommandError(
            f"--feerate {arguments.feerate:g}: more than 0 and at most fees.max_feerate = {highest} needed"
        )
    return float(arguments.feerate)


def _keep_reserve(desk: Desk, purse: Purse, amount: int, *, anyway: bool) -> None:
    if anyway:
        return
    snapshot = from_home(desk)
    reserve = 0 if snapshot.wallet is None else snapshot.wallet.reserve
    left = purse.balance() - amount
    if reserve and left < reserve:
        raise CommandError(f"{left:,} sat would be left, the worst case needs {reserve:,}; pay less, or add --anyway")


def _tell(arguments: argparse.Namespace, purse: Purse, tx_id: bytes, size: int) -> None:
    recorded = next(
        (
            found
            for purpose in purse.purposes()
            if (found := purse.recorded(purpose)) and txid(found.transaction) == tx_id
        ),
        None,
    )
    fee = 0 if recorded is None else recorded.fee
    answer(arguments, Payment(_id(tx_id), fee, round(fee / size, 2), size), _show_payment)


def _show_payment(console: Console, payment: Payment) -> None:
    console.print(f"sent {payment.txid}", soft_wrap=True)
    console.print(f"fee  {payment.fee:,} sat, {payment.feerate:g} sat/vB, {payment.vsize:,} vB")


def _id(tx_id: bytes) -> str:
    return bytes(tx_id)[::-1].hex()
