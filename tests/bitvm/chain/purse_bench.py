"""What tests of the purse do with it on a real node."""

from bitvm.chain.bitcoind import BitcoindChain
from bitvm.chain.purse import Purse


def amounts(purse: Purse) -> list[int]:
    return [coin.output.nValue for coin in purse.coins()]


def fill(chain: BitcoindChain, purse: Purse, *coins: int) -> None:
    for amount in coins:
        chain.faucet(purse.script_pubkey, amount)
    look(chain, purse, scan=True)


def look(chain: BitcoindChain, purse: Purse, *, scan: bool = False) -> None:
    purse.refresh(chain, chain.height(), purse.search(chain) if scan or not purse.searched else None)
