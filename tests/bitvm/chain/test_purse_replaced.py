"""Payments of a purse that wait for too long and are replaced: both forms count, whatever happens in between."""

from collections.abc import Callable, Iterator

import pytest
from bitcoin.core import CTransaction
from chain_bench import Bench
from purse_bench import amounts, fill, look
from sqlite_utils import Database

from bitvm import database
from bitvm.chain.bitcoind import BitcoindChain
from bitvm.chain.purse import PAYMENT, Purse
from bitvm.chain.purse_coins import FORGET_AFTER
from bitvm.chain.purse_form import InsufficientFundsError, PurseError
from bitvm.script.weight import txid, vsize

pytestmark = pytest.mark.bitcoind


@pytest.fixture
def chain(node_chain: BitcoindChain) -> BitcoindChain:
    return node_chain


@pytest.fixture
def held_up(chain: BitcoindChain) -> Iterator[Callable[[CTransaction], None]]:
    """Have miners pass transactions over until the end of the test, as if the market had risen."""
    names: list[str] = []

    def hold(made: CTransaction) -> None:
        names.append(txid(made)[::-1].hex())
        chain.call("prioritisetransaction", names[-1], 0, -10_000_000)

    yield hold
    for name in names:
        chain.call("prioritisetransaction", name, 0, 10_000_000)


@pytest.mark.parametrize("older", [False, True])
def test_a_payment_that_is_replaced_counts_in_both_forms(
    chain: BitcoindChain, purse: Purse, older: bool, held_up: Callable[[CTransaction], None]
) -> None:
    """Whichever is mined, its coins are ours, and nothing waits any more."""
    fill(chain, purse, 100_000)
    made = purse.split(chain, 2, 20_000, 2)
    look(chain, purse)
    (payment,) = purse.payments()
    assert payment.fee < 10 * vsize(made) / 2
    dearer = purse.replace(chain, payment, 10)
    assert [txin.prevout for txin in dearer.vin] == [txin.prevout for txin in made.vin]
    assert dearer.vout[:2] == made.vout[:2]
    (again,) = purse.payments()
    assert 10 * vsize(dearer) <= again.fee == 100_000 - sum(output.nValue for output in dearer.vout)
    assert [txid(each) for each in chain.mempool()] == [txid(dearer)]
    if older:
        held_up(dearer)
        chain.call("generateblock", purse.address("regtest"), [made.serialize().hex()])
    else:
        chain.mine()
    look(chain, purse)
    kept = made if older else dearer
    assert {coin.outpoint.hash for coin in purse.coins()} == {txid(kept)}
    assert amounts(purse) == sorted((output.nValue for output in kept.vout), reverse=True)
    assert (purse.payments(), chain.mempool()) == ((), ())
    chain.mine(FORGET_AFTER + 1)
    look(chain, purse)
    assert purse.purposes() == ()


def test_a_payment_can_be_replaced_again_and_is_recognised_after_months(
    chain: BitcoindChain, purse: Purse, held_up: Callable[[CTransaction], None]
) -> None:
    """The first form of a payment is mined after two dearer ones were made and all were long forgotten as coins."""
    fill(chain, purse, 100_000)
    made = purse.split(chain, 2, 20_000, 2)
    for feerate in (10, 30):
        look(chain, purse)
        purse.replace(chain, purse.payments()[0], feerate)
    (last,) = chain.mempool()
    held_up(last)
    chain.mine(FORGET_AFTER + 1)
    look(chain, purse)
    chain.mine(FORGET_AFTER + 1)
    look(chain, purse)
    assert [payment.transaction for payment in purse.payments()] == [last]
    chain.call("generateblock", purse.address("regtest"), [made.serialize().hex()])
    look(chain, purse)
    assert {coin.outpoint.hash for coin in purse.coins()} == {txid(made)}


def test_since_when_a_payment_waits(
    chain: BitcoindChain, purse: Purse, held_up: Callable[[CTransaction], None]
) -> None:
    fill(chain, purse, 100_000)
    held_up(purse.split(chain, 2, 20_000, 2))
    chain.mine()
    look(chain, purse)
    begun = chain.height()
    chain.mine(3)
    look(chain, purse)
    (payment,) = purse.payments()
    assert payment.since == begun
    held_up(purse.replace(chain, payment, 10))
    chain.mine()
    look(chain, purse)
    assert purse.payments()[0].since == begun + 4


def test_what_others_get_never_shrinks(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 30_000)
    payee = Bench.key().script_pubkey
    purse.send(chain, payee, 20_000, 2)
    look(chain, purse)
    (payment,) = purse.payments()
    with pytest.raises(InsufficientFundsError, match="does not pay for a higher fee"):
        purse.replace(chain, payment, 100)
    with pytest.raises(PurseError, match="a replacement has to pay"):
        purse.replace(chain, payment, 2.5)
    assert purse.payments() == (payment,)
    dearer = purse.replace(chain, payment, 40)
    assert (dearer.vout[0].nValue, bytes(dearer.vout[0].scriptPubKey)) == (20_000, payee)
    assert dearer.vout[1].nValue < payment.transaction.vout[1].nValue


def test_a_cut_gives_up_its_last_coins_for_a_higher_fee(chain: BitcoindChain, purse: Purse) -> None:
    """It was made with hardly any change, and must not be stuck for that."""
    fill(chain, purse, 100_000)
    made = purse.split(chain, 4, 24_900, 1)
    look(chain, purse)
    dearer = purse.replace(chain, purse.payments()[0], 150)
    assert [output.nValue for output in dearer.vout[:-1]] == [24_900] * (len(dearer.vout) - 1)
    assert len(dearer.vout) < len(made.vout)
    assert 100_000 - sum(output.nValue for output in dearer.vout) == pytest.approx(150 * vsize(dearer), rel=0.01)


def test_process_that_dies_at_a_replacement(
    chain: BitcoindChain, purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the record the old form stands; after it whoever opens the purse next sends the new one."""
    fill(chain, purse, 30_000)
    made = purse.split(chain, 2, 1_000, 2)
    look(chain, purse)
    commit = database.commit
    for after in (False, True):

        def die(opened: Database, after: bool = after) -> None:
            if after:
                commit(opened)
            raise KeyboardInterrupt

        monkeypatch.setattr(database, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            purse.replace(chain, purse.payments()[0], 10)
        monkeypatch.setattr(database, "commit", commit)
        assert chain.mempool() == (made,)
        with Purse.open(purse.path, purse.key) as again:
            look(chain, again)
            assert chain.mempool() == tuple(payment.transaction for payment in again.payments())
            assert (chain.mempool() == (made,)) != after
            assert len(again.purposes(PAYMENT)) == 1
