"""The money for fees: bring the wallet up to date, cut coins for the games to come, and say when it is too little.

Every game needs confirmed coins of its own, since the child that pays for a move may have no other unconfirmed parent.
The wallet finds coins by a search of all coins, which takes the node a moment on a private chain and minutes on a large
one. No tick waits long for that (`bitvm.chain.search`), and it is done seldom: at the start, then once a day, once an
hour while there is too little, and when coins are gone that it did not spend. In between it follows the coins that it
knows. It asks no node that still catches up for all coins, since that one has not got them yet.

A payment of the wallet itself locks its coins until it is confirmed. So a cut spares the coins of the games that run,
and a payment that waits while the market asks more is replaced by a dearer one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from bitcoin.core import COutPoint

from bitvm.chain.bidding import WORTH_REPLACING
from bitvm.chain.fees import INCREMENTAL_FEERATE
from bitvm.chain.interface import ChainError
from bitvm.chain.payer import RELAYED_EVERYWHERE
from bitvm.chain.purse import Payment, Purse
from bitvm.chain.purse_form import InsufficientFundsError
from bitvm.chain.search import CoinSearch
from bitvm.daemon.cutting import plan_cut, spare
from bitvm.daemon.logs import get_logger
from bitvm.daemon.status import ClaimStatus, Notice, NoticeKind, SetupStatus, Severity, WalletStatus
from bitvm.daemon.workplace import Workplace
from bitvm.game.finality import Verdict
from bitvm.graph.costs import defence
from bitvm.graph.graph import Graph
from bitvm.script.weight import txid, vsize

_log = get_logger(__name__)

SEARCH_SELDOM = 144
"""Blocks between two searches."""
SEARCH_WHILE_LOW = 6
"""The same while the wallet holds too little: somebody is about to pay it."""
SEARCH_ALWAYS = ("regtest",)
"""Networks on which every block brings one: it takes a moment."""
SEARCH_PATIENCE = 5.0
"""Seconds for which a search is waited when it begins; what takes longer is there in a later tick."""

A_FEW = 6
"""Blocks that a node may lack without being one that catches up."""

UNHURRIED = 12
"""Blocks within which new fee coins should be confirmed."""
LATE = 6
"""Blocks after which a payment that waits is looked at again: whether the market asks more by now."""
HURRIED = 2
"""The same two while a game runs, which may need the coins."""


class Treasury:
    """Looks after the purse of a home."""

    def __init__(self, place: Workplace) -> None:
        """Take the open home."""
        self._place = place
        self._height: int | None = None
        self._search = CoinSearch(lambda: place.purse.search(place.node))
        self._searched: int | None = None
        """The height at which the newest search began, of those that have ended."""
        self._begun = 0
        self._failure = ""
        self._low = False
        self._vanished = False
        self._graphs: dict[str, Graph] = {}
        self._fees: dict[str, int] = {}

    def update(self, height: int, setups: Mapping[str, SetupStatus], graphs: Mapping[str, Graph]) -> Iterator[Notice]:
        """Follow the coins to ``height`` and cut new ones where too few are left; yields what is wrong.

        setups: how each stands; graphs: of the same set-ups.
        """
        self._graphs |= graphs
        if height != self._height or self._search.ended:
            running = any(self._running(status) for status in setups.values())
            try:
                self._refresh(height)
                for payment in self._place.purse.payments():
                    self._hurry(payment, height, running=running)
                self._cut(setups)
            except ChainError as error:
                _log.warning("wallet not up to date", error=str(error))
        if not self._place.purse.searched:
            if self._failure:
                text = f"the wallet: what it holds is not known, the search for its coins failed: {self._failure}"
                yield Notice(NoticeKind.RESERVE_LOW, Severity.WARNING, text)
            return
        held, needed = self._place.purse.balance() + on_the_way(self._place.purse), self._reserve(setups)
        self._low = held < needed
        if self._low:
            # one coin that is smaller than a fee coin would pay for no large move
            missing = max(needed - held, self._place.config.fees.coin_value)
            text = (
                f"the wallet: {held} sat for fees, {needed} sat needed for the worst case; "
                f"pay {missing} sat to {self.address}"
            )
            yield Notice(NoticeKind.RESERVE_LOW, Severity.WARNING, text)

    def status(self, setups: Mapping[str, SetupStatus]) -> WalletStatus:
        """Return the wallet as plain values."""
        purse = self._place.purse
        reserved = sum(held.amount for held in purse.reserved())
        return WalletStatus(self.address, purse.balance(), len(purse.coins()), reserved, self._reserve(setups))

    @property
    def address(self) -> str:
        """Where the wallet is paid."""
        return self._place.purse.address(self._place.config.network)

    def _refresh(self, height: int) -> None:
        """Follow the known coins, begin a search for others where one is due, and take over what one has found."""
        began = not self._search.begun and self._is_search_due(height)
        if began:
            if self._catches_up():
                self._height = height
                return
            self._search.begin()
            self._begun, self._vanished = height, False
        found = self._result(SEARCH_PATIENCE if began else 0)
        self._place.purse.refresh(self._place.node, height, found)
        self._height = height
        if found is not None:  # and the purse has taken it over
            self._search.forget()
            self._searched, self._failure = self._begun, ""
        self._vanished |= self._place.purse.vanished

    def _is_search_due(self, height: int) -> bool:
        if self._searched is None or self._vanished:
            return True
        every = SEARCH_WHILE_LOW if self._low else SEARCH_SELDOM
        return abs(height - self._searched) >= (1 if self._place.config.network in SEARCH_ALWAYS else every)

    def _result(self, patience: float) -> Collection[COutPoint] | None:
        """Return what a search has found, if it has ended; after one that failed, the next block brings another."""
        try:
            return self._search.result(patience)
        except ChainError as error:
            _log.warning("coins not looked for", error=str(error))
            self._search.forget()
            self._failure, self._vanished = str(error), True
            return None

    def _catches_up(self) -> bool:
        """Whether the node knows of many blocks that it has not read yet; asked only before a search."""
        info = self._place.node.info()
        return info.initial_download and info.headers - info.blocks > A_FEW

    # ---- fee coins

    def _cut(self, setups: Mapping[str, SetupStatus]) -> None:
        """Cut large coins, and what is too small for a move, into fee coins if fewer are left than games may need."""
        fees, purse = self._place.config.fees, self._place.purse
        free, usable = purse.coins(), fees.coin_value // 2
        games = sum(self._games(name) for name, status in setups.items() if not status.over)
        running = sum(map(self._running, setups.values()))
        values = [coin.output.nValue for coin in free]
        in_use = _moving(purse)
        wanted = fees.coins_per_game * games - sum(value >= usable for value in (*values, *in_use, *_coming(purse)))
        if wanted <= 0:
            return
        feerate = self._feerate(HURRIED if running else UNHURRIED)
        spared = spare(free, usable, running, sum(value >= usable for value in in_use))
        cut = plan_cut([coin for coin in free if coin not in spared], wanted, fees.coin_value, feerate)
        if cut is None:
            _log.info("no fee coins cut", wanted=wanted)
            return
        try:
            purse.split(self._place.node, cut.count, fees.coin_value, feerate, cut.coins)
        except InsufficientFundsError as error:  # another process was faster
            _log.info("no fee coins cut", error=str(error))

    def _hurry(self, payment: Payment, height: int, *, running: bool) -> None:
        """Replace a payment that waits for too long by a dearer one, if the market asks more than it pays.

        After `UNHURRIED` blocks it is made dearer in any case: whatever the market seems to ask, it is more.
        """
        patience = HURRIED if running else LATE
        waited = height - payment.since
        if waited < patience:
            return
        paid = payment.fee / vsize(payment.transaction)
        dearer = max(WORTH_REPLACING * paid, paid + INCREMENTAL_FEERATE)
        feerate = max(self._feerate(patience), dearer if waited >= UNHURRIED else 0)
        if not dearer <= feerate <= self._place.config.fees.max_feerate:
            return
        name = txid(payment.transaction)[::-1].hex()
        try:
            made = self._place.purse.replace(self._place.node, payment, feerate)
        except ChainError as error:  # its own trouble keeps no other payment from being looked at
            _log.warning("a payment waits and cannot be replaced", txid=name, waited=waited, error=str(error))
        else:
            _log.info("payment replaced", txid=name, by=txid(made)[::-1].hex(), feerate=round(feerate, 2))

    def _feerate(self, blocks: int) -> float:
        """Return what confirms within so many blocks, as far as we may pay it."""
        asked = max(self._place.node.market_feerate(blocks), RELAYED_EVERYWHERE)
        return min(asked, self._place.config.fees.max_feerate)

    # ---- games

    def _games(self, name: str) -> int:
        """Return how many games of ours can run at once in a set-up."""
        return self._graphs[name].setting.parameters.challengers if self._place.home.role == "prover" else 1

    def _running(self, status: SetupStatus) -> int:
        """Return how many games of ours run in a set-up, or might: a challenger counts any as its own.

        A challenger that finds a claim false needs its coins as well: its Challenge is due before a game is seen.
        """
        running = sum(game.state == "running" for game in status.games)
        if self._place.home.role != "prover":
            running += any(_is_to_be_challenged(claim, status.height) for claim in status.claims)
        return min(running, self._games(status.name)) if running else 0

    def _reserve(self, setups: Mapping[str, SetupStatus]) -> int:
        """Return what the fees of the worst case come to, in satoshi, over all set-ups that are not over."""
        return sum(self._worst_case(status) for status in setups.values() if not status.over)

    def _worst_case(self, status: SetupStatus) -> int:
        """Return what the fees of a set-up come to in the worst case; it is priced once."""
        if status.name not in self._fees:
            graph = self._graphs[status.name]
            self._fees[status.name] = defence(graph.setting.parameters, status.party, graph=graph).fees
        return self._fees[status.name]


def on_the_way(purse: Purse) -> int:
    """Return what comes back: most of the coins that pay for moves now, and what our own payments pay us."""
    return sum((*_moving(purse), *_coming(purse)))


def _moving(purse: Purse) -> list[int]:
    """Return the values of the coins that are promised to moves of a set-up (`bitvm.daemon.engagement`)."""
    return [held.coin.output.nValue for held in purse.reserved() if ":" in held.purpose]


def _coming(purse: Purse) -> list[int]:
    """Return the values of the coins that payments of the wallet itself will make."""
    outputs = (output for payment in purse.payments() for output in payment.transaction.vout)
    return [output.nValue for output in outputs if purse.is_ours(output)]


def _is_to_be_challenged(claim: ClaimStatus, height: int | None) -> bool:
    """Whether a claim is false as far as we know, and can still be challenged."""
    if claim.verdict != Verdict.INVALID.value or claim.spender is not None:
        return False
    return claim.until is None or height is None or height < claim.until
