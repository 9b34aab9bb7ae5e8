"""The one secret of a party, and the PRF that makes all its keys from it.

`Seed.prf(purpose, *parts)` is HMAC-SHA256 under the seed over purpose and parts, each preceded by its length in four
bytes (big-endian). Different purposes, and different lists of parts, are different inputs, so no key says anything
about another. 32 bytes of seed keep the multi-target cost of a million published one-time keys near 2^131 hashes.

In a file the seed is 64 hex digits and a newline, readable by its owner alone (mode 0600).
"""

from __future__ import annotations

import hmac
import os
import stat
from enum import Enum
from pathlib import Path

SEED_BYTES = 32
_FILE_MODE = 0o600
_FOR_OTHERS = 0o077


class SeedError(ValueError):
    """A seed, or a seed file, that cannot be used; the message names the file and the fix."""


class Purpose(Enum):
    """What a PRF output is for; the values are part of every key and never change."""

    ONE_TIME = "bitvm one-time key v1"
    SCHNORR = "bitvm schnorr key v1"
    JOURNAL = "bitvm journal entry v1"
    IDENTITY = "bitvm seed identity v1"
    WALLET = "bitvm wallet key v1"


class Seed:
    """32 secret bytes. Never shown: neither by `repr` nor in an error."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        """Take the 32 bytes; raises SeedError for any other length."""
        if len(secret) != SEED_BYTES:
            raise SeedError(f"a seed has {SEED_BYTES} bytes, this one has {len(secret)}")
        self._secret = bytes(secret)

    def __repr__(self) -> str:
        """Return a text that says which seed it is and nothing about it."""
        return f"<Seed {self.identity.hex()[:8]}>"

    @classmethod
    def generate(cls) -> Seed:
        """Draw a seed from the operating system."""
        return cls(os.urandom(SEED_BYTES))

    @classmethod
    def load(cls, path: Path) -> Seed:
        """Read a seed file; raises SeedError when it is missing, open to others, or not 64 hex digits."""
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise SeedError(f"{path}: not a regular file")
                if status.st_mode & _FOR_OTHERS:
                    mode = stat.S_IMODE(status.st_mode)
                    raise SeedError(f"{path}: mode {mode:04o} opens the seed to others; run chmod 600 {path}")
                content = file.read(2 * SEED_BYTES + 3)  # more than the longest valid file
        except FileNotFoundError:
            raise SeedError(f"{path}: no such seed file") from None
        except OSError as error:
            raise SeedError(f"{path}: cannot be read: {error.strerror}") from error
        return cls(_decode(path, content))

    def save(self, path: Path) -> None:
        """Write a new seed file, durably; raises SeedError when the file exists or cannot be written."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._secret.hex().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            sync_folder(path.parent)
        except FileExistsError:
            raise SeedError(f"{path}: exists; a seed is never overwritten") from None
        except OSError as error:
            raise SeedError(f"{path}: cannot be written: {error.strerror}") from error

    def prf(self, purpose: Purpose, *parts: bytes) -> bytes:
        """Return 32 pseudo-random bytes for `purpose` and this exact list of parts."""
        code = hmac.new(self._secret, digestmod="sha256")
        for part in (purpose.value.encode(), *parts):
            code.update(len(part).to_bytes(4, "big") + part)
        return code.digest()

    @property
    def identity(self) -> bytes:
        """16 bytes that tell this seed from others and can be stored in the open."""
        return self.prf(Purpose.IDENTITY)[:16]


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, as fsync does for the content of a file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _decode(path: Path, content: bytes) -> bytes:
    digits = content.removesuffix(b"\n").removesuffix(b"\r")
    if any(digit not in b"0123456789abcdefABCDEF" for digit in digits):
        raise SeedError(f"{path}: not hex; a seed file is {2 * SEED_BYTES} hex digits and a newline")
    if len(digits) != 2 * SEED_BYTES:
        length = "too short" if len(digits) < 2 * SEED_BYTES else "too long"
        raise SeedError(f"{path}: {length}; a seed is {2 * SEED_BYTES} hex digits, this file has {len(digits)}")
    return bytes.fromhex(digits.decode())
