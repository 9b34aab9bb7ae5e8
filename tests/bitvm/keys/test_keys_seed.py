"""The seed: its file, and the PRF."""

import hashlib
import hmac
import itertools
from pathlib import Path

import pytest

from bitvm.keys.seed import Purpose, Seed, SeedError

SECRET = bytes(range(32))
SEED = Seed(SECRET)


def test_a_seed_survives_its_file(tmp_path):
    seed = Seed.generate()
    seed.save(tmp_path / "seed")
    assert (tmp_path / "seed").stat().st_mode & 0o777 == 0o600
    assert Seed.load(tmp_path / "seed").prf(Purpose.SCHNORR) == seed.prf(Purpose.SCHNORR)


def test_the_file_is_readable_hex(tmp_path):
    SEED.save(tmp_path / "seed")
    assert (tmp_path / "seed").read_text() == SECRET.hex() + "\n"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_seed_written_by_hand(tmp_path, ending):
    path = tmp_path / "seed"
    path.write_bytes(SECRET.hex().upper().encode() + ending.encode())
    path.chmod(0o400)
    assert Seed.load(path).identity == SEED.identity


def test_a_seed_is_never_overwritten(tmp_path):
    path = tmp_path / "seed"
    SEED.save(path)
    with pytest.raises(SeedError, match="never overwritten"):
        Seed.generate().save(path)
    assert Seed.load(path).identity == SEED.identity


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "too short"),
        (b"00" * 31, "too short"),
        (b"00" * 31 + b"0\n", "too short.*63"),
        (b"00" * 33, "too long"),
        (b"0" * 10_000, "too long"),
        (SECRET, "not hex"),
        (b"zz" * 32, "not hex"),
        (b" " + b"0" * 63, "not hex"),
        (b"\xff\xfe" + b"00" * 32, "not hex"),
        (b"00" * 32 + b"\n\n", "not hex"),
    ],
)
def test_a_broken_file(tmp_path, content, words):
    path = tmp_path / "seed"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SeedError, match=words) as caught:
        Seed.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o660, 0o601])
def test_a_file_open_to_others(tmp_path, mode):
    path = tmp_path / "seed"
    SEED.save(path)
    path.chmod(mode)
    with pytest.raises(SeedError, match=f"mode 0{mode:o}.*chmod 600"):
        Seed.load(path)


def test_no_file(tmp_path):
    with pytest.raises(SeedError, match="no such"):
        Seed.load(tmp_path / "seed")
    with pytest.raises(SeedError, match="cannot be read"):
        Seed.load(tmp_path)
    with pytest.raises(SeedError, match="cannot be written"):
        SEED.save(tmp_path / "nowhere" / "seed")


def test_a_device_is_no_seed():
    device = Path("/dev/zero")
    if not device.exists():
        pytest.skip("no /dev/zero")
    with pytest.raises(SeedError, match="regular"):
        Seed.load(device)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_the_size_of_a_seed(length):
    with pytest.raises(SeedError, match=str(length)):
        Seed(bytes(length))


def test_the_secret_is_never_shown():
    assert SECRET.hex()[:16] not in repr(SEED)
    assert not hasattr(SEED, "__dict__")


def test_the_prf_is_hmac_sha256_of_the_parts_with_their_lengths():
    purpose = b"bitvm one-time key v1"
    message = len(purpose).to_bytes(4, "big") + purpose + b"\0\0\0\2ab" + b"\0\0\0\1c"
    assert SEED.prf(Purpose.ONE_TIME, b"ab", b"c") == hmac.new(SECRET, message, hashlib.sha256).digest()


def test_no_two_inputs_meet():
    lists = [(), (b"",), (b"", b""), (b"ab",), (b"a", b"b"), (b"b", b"a"), (b"\0\0\0\1a",), (b"ab", b"")]
    outputs = [SEED.prf(purpose, *parts) for purpose, parts in itertools.product(Purpose, lists)]
    assert len(set(outputs)) == len(outputs)
    assert Seed(bytes(32)).prf(Purpose.ONE_TIME) != SEED.prf(Purpose.ONE_TIME)
