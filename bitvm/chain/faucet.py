"""Coins for experiments: the key that regtest blocks pay, the same in every run and no secret."""

from bitcoin.core import COutPoint, CTxOut

from bitvm.chain.blocks import COINBASE_MATURITY, TOTAL_SUBSIDY, subsidy
from bitvm.chain.interface import ChainError, RegtestChain
from bitvm.chain.keys import TaprootKey
from bitvm.chain.wallet import InsufficientFundsError, Wallet
from bitvm.script.weight import txid

FAUCET_KEY = TaprootKey.from_seed(b"regtest", "faucet")
FAUCET_FEERATE = 2
"""Satoshi per virtual byte, above any node's minimum."""


class Faucet:
    """Pays out the coinbases of a chain that mines to `FAUCET_KEY`."""

    def __init__(self, chain: RegtestChain) -> None:
        """Take the chain that the coins are mined on; nothing is mined before the first payment."""
        self._chain = chain
        self._wallet = Wallet(chain, FAUCET_KEY)

    def pay(self, script_pubkey: bytes, amount: int) -> tuple[COutPoint, CTxOut]:
        """Pay `amount` satoshi and mine a block; the first time, as many blocks as a coinbase takes to mature.

        ChainError when the chain can never have that much: the subsidy halves every 150 blocks.
        """
        if amount > TOTAL_SUBSIDY:
            raise ChainError(f"{amount} sat is more than regtest ever creates, {TOTAL_SUBSIDY}")
        while True:
            try:
                payment = self._wallet.pay(script_pubkey, amount, FAUCET_FEERATE)
                break
            except InsufficientFundsError as error:
                height = self._chain.height()
                if subsidy(height) == 0:
                    raise ChainError(f"the faucet is empty and the subsidy over: {error}") from error
                self._chain.mine(max(1, COINBASE_MATURITY - height))
        self._chain.submit([payment])
        self._chain.mine()
        return COutPoint(txid(payment), 0), payment.vout[0]
