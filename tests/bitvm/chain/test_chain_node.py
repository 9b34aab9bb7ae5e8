"""Finding, installing, starting and stopping a real node."""

import contextlib
import hashlib
import os
import socket
import time
from pathlib import Path

import pytest

from bitvm.chain import debian, node
from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode, NodeStartError
from bitvm.chain.debian import Archive, ChecksumError, InstallError
from bitvm.chain.node import NodeNotFoundError, find_bitcoind, provide_bitcoind, unpacked_command
from bitvm.chain.rpc import NodeUnreachableError, Rpc


def fake_node(path: Path, first_line: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{first_line}'\n")
    path.chmod(0o755)
    return path


def test_environment_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_node(tmp_path / "bitcoind", "Bitcoin Core daemon version v29.0.0")
    named = fake_node(tmp_path / "mine", "Bitcoin Knots daemon version v29.3.0.knots20260101")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    on_path = find_bitcoind(tmp_path / "none")
    assert on_path is not None
    assert not on_path.is_knots
    monkeypatch.setenv("BITVM_BITCOIND", str(named))
    found = find_bitcoind(tmp_path / "none")
    assert found is not None
    assert found.command == (str(named),)
    assert found.is_knots


def test_named_node_that_is_missing_or_broken_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITVM_BITCOIND", str(tmp_path / "missing"))
    with pytest.raises(NodeNotFoundError, match="no executable file"):
        find_bitcoind()
    monkeypatch.setenv("BITVM_BITCOIND", str(fake_node(tmp_path / "broken", "hello")))
    with pytest.raises(NodeNotFoundError, match="does not tell its version"):
        find_bitcoind()


def test_incomplete_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NodeNotFoundError, match="no complete node"):
        unpacked_command(tmp_path)


def test_private_folder_is_in_the_environment_or_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.sys, "prefix", str(tmp_path / "venv"))
    assert node.private_folder() == tmp_path / "venv" / "bitvm" / "bitcoind"
    monkeypatch.setattr(node.sys, "prefix", node.sys.base_prefix)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert node.private_folder() == tmp_path / "cache" / "bitvm" / "bitcoind"


def test_package_with_another_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "libc6_1_amd64.deb"
    path.write_bytes(b"package")
    debian.verify(Archive(path, hashlib.sha256(b"package").hexdigest()))
    path.write_bytes(b"Package")
    with pytest.raises(ChecksumError, match=r"libc6_1_amd64\.deb has SHA-256"):
        debian.verify(Archive(path, hashlib.sha256(b"package").hexdigest()))


@pytest.mark.parametrize("os_release", ["ID=fedora\n", "", None])
def test_other_systems_are_told_what_to_do_instead(tmp_path: Path, os_release: str | None) -> None:
    path = tmp_path / "os-release"
    if os_release is not None:
        path.write_text(os_release)
    with pytest.raises(InstallError, match=r"not Debian.*put it on PATH.*BITVM_BITCOIND"):
        debian.require_debian(path)


def test_missing_apt_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "os-release"
    path.write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError, match="apt-get is missing"):
        debian.require_debian(path)


def test_release_without_a_source_is_named() -> None:
    with pytest.raises(InstallError, match="no source for Debian no-such-release"):
        debian.archive_addresses("no-such-release")


def test_unsigned_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    for suite in (debian.SUITE, debian.PACKAGE_SUITE):
        (archive / "dists" / suite).mkdir(parents=True)
        (archive / "dists" / suite / "Release").write_text(f"Suite: {suite}\nCodename: {suite}\n")
    keyring = next(path for path in debian.KEYRINGS if path.exists())
    configuration = debian.apt_configuration(tmp_path / "apt", f"file:{archive}", keyring)
    with pytest.raises(InstallError, match="not signed"):
        debian.update(configuration)


@pytest.mark.bitcoind
def test_installed_node_is_found_again() -> None:
    first = provide_bitcoind()
    started = time.monotonic()
    assert provide_bitcoind() == first
    assert time.monotonic() - started < 5
    assert first.version.startswith("Bitcoin")


def listening_addresses(pid: int) -> set[str]:
    """Return the local addresses (hex, as the kernel writes them) on which a process listens."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # 0A: LISTEN
                found.add(fields[1].split(":")[0])
    return found


@pytest.mark.bitcoind
def test_node_listens_on_loopback_alone(node: BitcoindNode) -> None:
    assert listening_addresses(node.pid) == {"0100007F"}


@pytest.mark.bitcoind
def test_node_keeps_to_its_folder_and_leaves_nothing(tmp_path: Path) -> None:
    with BitcoindNode() as running:
        datadir, pid = running.datadir, running.pid
        assert (datadir / "regtest" / "debug.log").exists()
    assert not datadir.exists()
    assert not Path(f"/proc/{pid}").exists()
    given = tmp_path / "given"
    with BitcoindNode(datadir=given) as running, BitcoindChain(running) as chain:
        chain.mine(3)
    assert (given / "regtest").exists()


@pytest.mark.bitcoind
def test_node_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(NodeStartError, match="no-such-argument"):
        BitcoindNode(datadir=tmp_path, extra_arguments=["-no-such-argument=1"])


@pytest.mark.bitcoind
def test_files_are_kept_when_something_goes_wrong() -> None:
    def fail(running: BitcoindNode) -> None:
        raise RuntimeError(str(running.datadir))

    with pytest.raises(RuntimeError) as failure, BitcoindNode() as running:
        fail(running)
    datadir = Path(str(failure.value))
    assert (datadir / "regtest" / "debug.log").exists()
    for path in sorted(datadir.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    datadir.rmdir()


@pytest.mark.bitcoind
def test_chain_survives_a_restart_of_its_node(tmp_path: Path) -> None:
    with BitcoindNode(datadir=tmp_path) as first, BitcoindChain(first) as chain:
        chain.mine(5)
        last = chain.block_transactions(5)
    with BitcoindNode(datadir=tmp_path) as second, BitcoindChain(second) as chain:
        assert chain.height() == 5
        assert chain.block_transactions(5) == last


def test_absent_node_is_unreachable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(NodeUnreachableError):
        Rpc(f"http://user:password@127.0.0.1:{port}/")("getblockcount")
