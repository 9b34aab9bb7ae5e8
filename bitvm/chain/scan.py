"""A node's scan of all unspent outputs: minutes on a large chain, and one at a time for everybody."""

import time

from bitvm.chain.answers import Answer
from bitvm.chain.interface import ChainError
from bitvm.chain.rpc import Cookie, Rpc, RpcError

SCAN_TIMEOUT = 3_600
"""Seconds for a scan of all coins; minutes on the main network."""
SCAN_PATIENCE = 30.0
"""Seconds to wait for somebody else's scan to end."""
SCAN_PAUSE = 0.05
"""Seconds between two questions whether it has."""

_SCAN = "scantxoutset"


class ScanBusyError(ChainError):
    """The node scans its coins for somebody else; it does one scan at a time."""


def scan(access: str | Cookie, script_pubkey: bytes) -> Answer:
    """Let the node at `access` scan for a script as soon as it is free for that; what it answers to scantxoutset.

    ScanBusyError when it scans for somebody else for longer than `SCAN_PATIENCE`; and the errors of every call.
    """
    patient = Rpc(access, timeout=SCAN_TIMEOUT)
    deadline = time.monotonic() + SCAN_PATIENCE
    try:
        while True:
            try:
                return Answer(_SCAN, patient(_SCAN, "start", [{"desc": f"raw({script_pubkey.hex()})"}]))
            except RpcError as error:
                if "already in progress" not in error.message:
                    raise
                if time.monotonic() > deadline:
                    text = "the node scans its coins for somebody else; ask again when it is done"
                    raise ScanBusyError(text) from error
            time.sleep(SCAN_PAUSE)
    finally:
        patient.close()
