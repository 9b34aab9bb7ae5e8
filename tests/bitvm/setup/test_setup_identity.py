import os
import ssl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from networked import with_version

from bitvm.setup.identity import Identity, IdentityError, key_of, parse_key


@pytest.fixture
def identity(tmp_path):
    return Identity.create(tmp_path / "own")


def test_a_file_gives_the_same_identity_again(identity):
    assert identity.path.stat().st_mode & 0o777 == 0o600
    assert Identity.load(identity.path).public == identity.public
    assert parse_key(identity.public.hex() + "\n") == identity.public


def test_two_identities_differ(identity, tmp_path):
    assert Identity.create(tmp_path / "other").public != identity.public


def test_an_identity_is_never_overwritten(identity):
    before = identity.path.read_bytes()
    with pytest.raises(IdentityError, match="never overwritten"):
        Identity.create(identity.path)
    assert identity.path.read_bytes() == before


def test_the_private_key_is_not_shown(identity):
    (key,) = (line for line in identity.path.read_text().splitlines() if line.startswith("MC4"))
    assert key not in repr(identity)
    assert identity.public.hex() in repr(identity)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_open_to_others_is_refused(identity, mode):
    identity.path.chmod(mode)
    with pytest.raises(IdentityError, match="chmod 600"):
        Identity.load(identity.path)


def blocks(content):
    key, _, certificate = content.partition(b"-----BEGIN CERTIFICATE")
    return key, b"-----BEGIN CERTIFICATE" + certificate


def weierstrass_key():
    formats = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return generate_private_key(SECP256R1()).private_bytes(*formats)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda _: b"", "not an identity file"),
        (lambda _: os.urandom(300), "not an identity file"),
        (lambda own: own[:60], "not an identity file"),
        (lambda own: blocks(own)[0], "not an identity file"),
        (lambda own: blocks(own)[1], "not an identity file"),
        (lambda own: own[:-80], "not an identity file"),
        (lambda own: weierstrass_key() + blocks(own)[1], "not an Ed25519 key"),
    ],
)
def test_what_is_no_identity_file_is_refused(identity, edit, message):
    identity.path.write_bytes(edit(identity.path.read_bytes()))
    with pytest.raises(IdentityError, match=message):
        Identity.load(identity.path)


def test_a_certificate_of_another_key_is_refused(identity, tmp_path):
    other = Identity.create(tmp_path / "other").path.read_bytes()
    identity.path.write_bytes(blocks(identity.path.read_bytes())[0] + blocks(other)[1])
    with pytest.raises(IdentityError, match="do not belong together"):
        Identity.load(identity.path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(IdentityError, match="no such identity file"):
        Identity.load(tmp_path / "none")
    with pytest.raises(IdentityError, match="cannot be read"):
        Identity.load(tmp_path)
    with pytest.raises(IdentityError, match="cannot be written"):
        Identity.create(tmp_path / "none" / "own")


@pytest.mark.parametrize("text", ["", "ab", "g" * 64, "0" * 63, "0" * 65, "ü" * 64])
def test_a_key_is_64_hex_digits(text):
    with pytest.raises(IdentityError, match="64 hex digits"):
        parse_key(text)


def test_nothing_older_than_tls_1_3_and_nobody_unknown(identity):
    for context in (identity.server_context([identity.public]), identity.client_context(identity.public)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED
    assert identity.server_context([]).verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(IdentityError, match="32 bytes"):
        identity.client_context(bytes(31))


def test_what_is_no_certificate_has_no_key():
    assert key_of(None) is None
    assert key_of(b"") is None
    assert key_of(b"\x30\x03\x02\x01\x00") is None


@pytest.mark.parametrize("version", [3, 4, 127])
def test_a_certificate_of_a_version_that_there_is_not_has_no_key(identity, version):
    pem = blocks(identity.path.read_bytes())[1].decode()
    assert key_of(ssl.PEM_cert_to_DER_cert(pem)) == identity.public
    pem = blocks(with_version(identity, version).path.read_bytes())[1].decode()
    assert key_of(ssl.PEM_cert_to_DER_cert(pem)) is None
