"""The money for fees: bring the wallet up to date, cut coins for the games to come, and say when it is too little.

Every game needs confirmed coins of its own, since the child that pays for a move may have no other unconfirmed parent.
The wallet finds coins by a scan of all coins, which takes the node a moment on a private chain and minutes on a large
one; so it scans at the start and then rarely, not while a game runs, and in between follows the coins that it knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bitcoin.core import COutPoint

from bitvm.chain.interface import ChainError
from bitvm.chain.payer import RELAYED_EVERYWHERE
from bitvm.chain.purse import PAYMENT
from bitvm.chain.purse_form import InsufficientFundsError
from bitvm.daemon.logs import get_logger
from bitvm.daemon.status import Notice, NoticeKind, SetupStatus, Severity, WalletStatus
from bitvm.daemon.workplace import Workplace
from bitvm.graph.costs import defence
from bitvm.graph.graph import Graph
from bitvm.script.weight import txid

_log = get_logger(__name__)

SCAN_EVERY = {"regtest": 1}
"""Blocks between two scans, by network."""
SCAN_SELDOM = 144

UNHURRIED = 12
"""Blocks within which new fee coins should be confirmed."""


class Treasury:
    """Looks after the purse of a home."""

    def __init__(self, place: Workplace) -> None:
        """Take the open home."""
        self._place = place
        self._height: int | None = None
        self._scanned: int | None = None
        self._fees: dict[str, int] = {}

    def update(self, height: int, setups: Mapping[str, SetupStatus], graphs: Mapping[str, Graph]) -> Iterator[Notice]:
        """Follow the coins to ``height`` and cut new ones where too few are left; yields what is wrong.

        setups: how each stands; graphs: of the same set-ups.
        """
        self._measure(graphs)
        if height != self._height:
            try:
                self._refresh(height, idle=not any(_is_running(status) for status in setups.values()))
                self._cut(setups)
            except ChainError as error:
                _log.warning("wallet not up to date", error=str(error))
        held, needed = self._place.purse.balance() + self._on_the_way(), self._reserve(setups)
        if held < needed:
            text = (
                f"the wallet: {held} sat for fees, {needed} sat needed for the worst case; "
                f"pay {needed - held} sat to {self.address}"
            )
            yield Notice(NoticeKind.RESERVE_LOW, Severity.WARNING, text)

    def status(self, setups: Mapping[str, SetupStatus]) -> WalletStatus:
        """Return the wallet as plain values."""
        purse = self._place.purse
        reserved = sum(held.amount for held in purse.reserved())
        return WalletStatus(self.address, purse.balance(), len(purse.coins()), reserved, self._reserve(setups))

    def _on_the_way(self) -> int:
        """Return what the coins hold that pay for moves now: most of it comes back as their change."""
        return sum(held.coin.output.nValue for held in self._place.purse.reserved() if _is_move(held.purpose))

    @property
    def address(self) -> str:
        """Where the wallet is paid."""
        return self._place.purse.address(self._place.config.network)

    def _refresh(self, height: int, *, idle: bool) -> None:
        """Follow the known coins; look for unknown ones at the start, and seldom, but never while a game runs."""
        every = SCAN_EVERY.get(self._place.config.network)
        due = self._scanned is None or abs(height - self._scanned) >= (every or SCAN_SELDOM)
        scan = self._scanned is None or (due and (idle or every is not None))
        self._place.purse.refresh(self._place.node, height, scan=scan)
        self._height = height
        if scan:
            self._scanned = height

    def _cut(self, setups: Mapping[str, SetupStatus]) -> None:
        """Cut a large coin into fee coins if there are fewer than the open games may need; one cut at a time."""
        fees, purse = self._place.config.fees, self._place.purse
        games = sum(self._games(name) for name, status in setups.items() if not status.over)
        in_use = sum(_is_move(held.purpose) for held in purse.reserved())
        wanted = fees.coins_per_game * games - len(purse.coins()) - in_use
        if wanted <= 0 or self._is_cutting():
            return
        try:
            feerate = max(self._place.node.market_feerate(UNHURRIED), RELAYED_EVERYWHERE)
            purse.split(self._place.node, wanted, fees.coin_value, min(feerate, fees.max_feerate))
        except InsufficientFundsError as error:
            _log.info("no fee coins cut", error=str(error))

    def _is_cutting(self) -> bool:
        """Whether a payment of the wallet waits for its block."""
        purse = self._place.purse
        made = (purse.recorded(purpose) for purpose in purse.purposes(PAYMENT))
        outputs = (self._place.node.coin(COutPoint(txid(each.transaction), 0)) for each in made if each is not None)
        return any(output is not None and output.confirmations == 0 for output in outputs)

    def _games(self, name: str) -> int:
        """Return how many games of ours can run at once in a set-up."""
        return self._place.plan(name).parameters.challengers if self._place.home.role == "prover" else 1

    def _reserve(self, setups: Mapping[str, SetupStatus]) -> int:
        """Return what the fees of the worst case come to, in satoshi, over all set-ups that are not over."""
        return sum(self._fees.get(name, 0) for name, status in setups.items() if not status.over)

    def _measure(self, graphs: Mapping[str, Graph]) -> None:
        """Price the worst case of each set-up, once."""
        for name, graph in graphs.items():
            if name not in self._fees:
                party = self._place.plan(name).party_of(self._place.home.identity.public)
                self._fees[name] = 0 if party is None else defence(graph.setting.parameters, party, graph=graph).fees


def _is_move(purpose: str) -> bool:
    """Whether a promise of the purse is for a move of a set-up (`bitvm.daemon.engagement`)."""
    return ":" in purpose


def _is_running(status: SetupStatus) -> bool:
    return any(game.state == "running" for game in status.games)
