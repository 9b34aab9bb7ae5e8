"""The identity of a party on the network: one Ed25519 key, known to the others as 64 hex digits.

Two parties that know each other's keys authenticate and encrypt with TLS 1.3 and nothing older: both show a certificate
of their key, both check that it is the key they expect. There are no authorities, no host names and no dates.

How: a server has to tell OpenSSL what it trusts before it sees a certificate, and all it has is keys. X.509 allows just
that: a trust anchor is a name and a key (RFC 5280, 6.1.1 d), its own signature is never checked. So every known key
becomes an anchor, and a party's certificate is issued by the anchor of its key. `key_of` then reads the key from the
certificate that TLS proved; the caller compares it with the one it wants.

Beside TLS an identity signs the messages of a set-up (`bitvm.setup.seal`, which says why the two never meet).

In a file an identity is its private key (PKCS #8) and its certificate, both PEM, readable by the owner alone (0600).
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bitvm.keys.seed import sync_folder

KEY_BYTES = 32
SIGNATURE_BYTES = 64
_FILE_MODE = 0o600
_FOR_OTHERS = 0o077
_MAX_FILE_BYTES = 10_000
_FIRST_DAY, _LAST_DAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


class IdentityError(ValueError):
    """An identity, or an identity file, that cannot be used; the message names the file and the fix."""


class Identity:
    """A party's private key on the network. Never shown: neither by `repr` nor in an error."""

    def __init__(self, path: Path, public: bytes) -> None:
        """Take a checked file and its public key; use `create` or `load`."""
        self.path = path
        self.public = public

    def __repr__(self) -> str:
        """Return a text with the public key alone."""
        return f"<Identity {self.public.hex()}>"

    @classmethod
    def create(cls, path: Path) -> Identity:
        """Draw a key and write its file, durably; raises IdentityError when the file exists or cannot be written."""
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pem += _certificate(key).public_bytes(serialization.Encoding.PEM)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(path.absolute().parent)
        except FileExistsError:
            raise IdentityError(f"{path}: exists; an identity is never overwritten") from None
        except OSError as error:
            raise IdentityError(f"{path}: cannot be written: {error.strerror}") from error
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Read an identity file; raises IdentityError when it is missing, open to others, or not of this form."""
        return cls(path, _private_key(path).public_key().public_bytes_raw())

    def sign(self, statement: bytes) -> bytes:
        """Return the signature of ``statement``, 64 bytes, the same every time; raises IdentityError."""
        key = _private_key(self.path)
        if key.public_key().public_bytes_raw() != self.public:
            raise IdentityError(f"{self.path}: holds another identity than before")
        return key.sign(statement)

    def server_context(self, peers: Iterable[bytes]) -> ssl.SSLContext:
        """Return the TLS side that is called; ``peers``: the keys (32 bytes) that may call. Raises IdentityError."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER, peers)
        context.num_tickets = 0  # a session is never resumed: every connection proves both keys
        return context

    def client_context(self, peer: bytes) -> ssl.SSLContext:
        """Return the TLS side that calls ``peer`` (32 bytes); raises IdentityError."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT, [peer])

    def _context(self, protocol: ssl._SSLMethod, peers: Iterable[bytes]) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        anchors = [_anchor(peer).public_bytes(serialization.Encoding.DER) for peer in peers]
        if anchors:
            context.load_verify_locations(cadata=b"".join(anchors))
        try:
            context.load_cert_chain(self.path)
        except (OSError, ssl.SSLError) as error:
            raise IdentityError(f"{self.path}: cannot be used: {error}") from error
        return context


def is_signed(key: bytes, signature: bytes, statement: bytes) -> bool:
    """Whether the identity ``key`` (32 bytes) has signed ``statement``."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


def curious_context() -> ssl.SSLContext:
    """Return a TLS side that calls anybody and shows nothing: to see who is there, never to talk to them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def parse_key(text: str) -> bytes:
    """Return the key of 64 hex digits; raises IdentityError."""
    digits = text.strip()
    if len(digits) != 2 * KEY_BYTES or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise IdentityError(f"an identity is {2 * KEY_BYTES} hex digits, not {text!r:.80}")
    return bytes.fromhex(digits)


def key_of(certificate: bytes | None) -> bytes | None:
    """Return the Ed25519 key (32 bytes) of a DER certificate that TLS has proved, None where it has no such key."""
    if certificate is None:
        return None
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except Exception:  # OpenSSL takes more than this parser, whose errors (InvalidVersion) share no other base
        return None
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None


def _private_key(path: Path) -> Ed25519PrivateKey:
    """Read and check an identity file."""
    content = _read(path)
    try:
        key = serialization.load_pem_private_key(content, password=None)
        certified = x509.load_pem_x509_certificate(content).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"{path}: not an identity file: a private key and its certificate needed") from error
    if not isinstance(key, Ed25519PrivateKey) or not isinstance(certified, Ed25519PublicKey):
        raise IdentityError(f"{path}: not an Ed25519 key")
    if certified.public_bytes_raw() != key.public_key().public_bytes_raw():
        raise IdentityError(f"{path}: key and certificate do not belong together")
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise IdentityError(f"{path}: not a regular file")
            if status.st_mode & _FOR_OTHERS:
                mode = stat.S_IMODE(status.st_mode)
                raise IdentityError(f"{path}: mode {mode:04o} opens the key to others; run chmod 600 {path}")
            return file.read(_MAX_FILE_BYTES)
    except FileNotFoundError:
        raise IdentityError(f"{path}: no such identity file") from None
    except OSError as error:
        raise IdentityError(f"{path}: cannot be read: {error.strerror}") from error


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, public: Ed25519PublicKey, serial: int) -> x509.CertificateBuilder:
    """Return what both certificates of a key share; issuer of both is the anchor, named by the key."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_name(public.public_bytes_raw().hex()))
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(_FIRST_DAY)
        .not_valid_after(_LAST_DAY)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _certificate(key: Ed25519PrivateKey) -> x509.Certificate:
    """Return the certificate that a party shows."""
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        _builder(_name("bitvm party"), key.public_key(), 2)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(uses, critical=False)
        .sign(key, None)
    )


def _anchor(public: bytes) -> x509.Certificate:
    """Return a known key in the form in which OpenSSL takes a trust anchor; nobody checks who signed it."""
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise IdentityError(f"an identity has {KEY_BYTES} bytes, this one has {len(public)}") from error
    return (
        _builder(_name(public.hex()), key, 1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(Ed25519PrivateKey.generate(), None)
    )
