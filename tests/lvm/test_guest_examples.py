"""The committed guests against oracles in Python, on both engines; every step of a small run compared."""

import hashlib
import random

import pytest

from lvm.elf import load_elf
from lvm.guest import EXAMPLES, OUTPUT_BASE, OUTPUT_MAX_BYTES, OutputError, elf_path, read_output
from lvm.layout import REGISTERS_BASE
from lvm.machine import Engine, Machine, boot
from lvm.outcome import Outcome

MALFORMED, OVERDRAFT, UNKNOWN, EXISTS, SUPPLY, TOO_MANY = 1, 2, 3, 4, 5, 6


def run(name: str, data: bytes, engine: Engine = "auto", most: int = 1 << 34) -> tuple[Machine, bytes]:
    """Run a guest to its end; the exit code is left to the test, a fault is not."""
    machine = boot(load_elf(elf_path(name)), data, engine=engine)
    machine.run(most)
    assert machine.halted == 1, machine.control()
    return machine, read_output(machine)


def needs_speed() -> None:
    pytest.importorskip("numba")


@pytest.mark.parametrize("length", [0, 1, 3, 55, 56, 63, 64, 65, 119, 120, 1000])
def test_sha256(length: int) -> None:
    data = random.Random(length).randbytes(length)
    machine, output = run("sha256", data)
    assert (machine.exit_code, output) == (0, hashlib.sha256(data).digest())


def test_sha256_of_a_large_file() -> None:
    needs_speed()
    data = random.Random(1).randbytes(1_000_003)
    assert run("sha256", data)[1] == hashlib.sha256(data).digest()


def primes_below(limit: int) -> list[int]:
    return [n for n in range(2, limit) if all(n % p for p in range(2, int(n**0.5) + 1))]


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 5, 25, 26, 1000, 4096])
def test_sieve(limit: int) -> None:
    primes = primes_below(limit)
    machine, output = run("sieve", b"%d\n" % limit)
    assert machine.exit_code == 0
    assert output == b"%d %d\n" % (len(primes), primes[-1] if primes else 0)


def test_sieve_of_a_million_and_rounds() -> None:
    needs_speed()
    once, output = run("sieve", b"1000000")
    assert output == b"78498 999983\n"
    thrice, again = run("sieve", b" 1000000 3 \n")
    assert again == output
    assert once.exit_code == thrice.exit_code == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [(b"", 1), (b"x", 1), (b"12x", 1), (b"10 2 3", 1), (b"-5", 1), (b"4294967296", 1), (b"16777217", 2)],
)
def test_sieve_refuses(text: bytes, code: int) -> None:
    machine, output = run("sieve", text)
    assert (machine.exit_code, output) == (code, b"")


def sorted_text(numbers: list[int]) -> bytes:
    return b"".join(b"%d\n" % number for number in sorted(numbers))


LISTS = {
    "empty": [],
    "one": [-5],
    "extremes": [2147483647, -2147483648, 0, -1, 1],
    "equal": [7] * 100,
    "ascending": list(range(-50, 200)),
    "descending": list(range(200, -50, -1)),
    "organ pipe": [*range(100), *range(100, 0, -1)],
    "random": [random.Random(5).randrange(-(1 << 31), 1 << 31) for _ in range(500)],
    "few values": [random.Random(6).randrange(4) for _ in range(300)],
}


@pytest.mark.parametrize("name", LISTS)
def test_quicksort(name: str) -> None:
    numbers = LISTS[name]
    text = " ".join(map(str, numbers)).encode()
    machine, output = run("quicksort", text)
    assert (machine.exit_code, output) == (0, sorted_text(numbers))


def test_quicksort_of_a_large_file() -> None:
    needs_speed()
    rng = random.Random(8)
    numbers = [rng.randrange(-(1 << 31), 1 << 31) for _ in range(60_000)]
    machine, output = run("quicksort", "\n".join(map(str, numbers)).encode() + b"\r\n")
    assert (machine.exit_code, output) == (0, sorted_text(numbers))


def test_quicksort_output_can_be_too_long() -> None:
    """The largest input, one separator between the numbers: the last line end does not fit."""
    needs_speed()
    text = b"12" + b" 1" * (OUTPUT_MAX_BYTES // 2 - 1)
    assert len(text) == OUTPUT_MAX_BYTES
    machine = boot(load_elf(elf_path("quicksort")), text)
    machine.run(1 << 34)
    assert (machine.halted, machine.exit_code) == (1, 2)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        *((b"1 2 x", 4), (b"1,2", 0), (b"  --5", 2), (b"-", 0)),
        *((b"5 2147483648", 2), (b"5 -2147483649", 2), (b"99999999999", 0)),
    ],
)
def test_quicksort_refuses(text: bytes, offset: int) -> None:
    machine, output = run("quicksort", text)
    assert (machine.exit_code, output) == (1, b"%d" % offset)


def ledger_oracle(text: str) -> tuple[int, str]:
    """The ledger in Python: (exit code, output)."""
    balances: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        match line.split(" "):
            case [""]:
                continue
            case ["open", name, amount]:
                if name in balances:
                    return number << 8 | EXISTS, ""
                if sum(balances.values()) + int(amount) >= 1 << 32:
                    return number << 8 | SUPPLY, ""
                balances[name] = int(amount)
            case ["pay", payer, payee, amount]:
                if payer not in balances or payee not in balances:
                    return number << 8 | UNKNOWN, ""
                if balances[payer] < int(amount):
                    return number << 8 | OVERDRAFT, ""
                balances[payer] -= int(amount)
                balances[payee] += int(amount)
    return 0, "".join(f"{name} {balance}\n" for name, balance in balances.items())


def random_ledger(rng: random.Random, accounts: int, transfers: int, *, careless: bool) -> str:
    names = [f"user{i}" for i in range(accounts)]
    balances = {name: rng.randrange(1000) for name in names}
    lines = [f"open {name} {balance}" for name, balance in balances.items()]
    for _ in range(transfers):
        payer, payee = rng.choices(names, k=2)
        amount = rng.randrange(balances[payer] + 1 + (careless and rng.random() < 0.02))
        lines.append(f"pay {payer} {payee} {amount}")
        balances[payer] -= amount
        balances[payee] += amount
    return "\n".join(lines) + "\n" * rng.randrange(3)


@pytest.mark.parametrize("seed", range(12))
def test_ledger(seed: int) -> None:
    rng = random.Random(seed)
    text = random_ledger(rng, rng.randrange(1, 40), rng.randrange(200), careless=seed % 2 == 1)
    machine, output = run("ledger", text.encode())
    assert (machine.exit_code, output.decode()) == ledger_oracle(text)


def test_ledger_of_many() -> None:
    needs_speed()
    text = random_ledger(random.Random(99), 4096, 50_000, careless=False)
    machine, output = run("ledger", text.encode())
    assert (machine.exit_code, output.decode()) == ledger_oracle(text)
    assert machine.exit_code == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("open a 5\nopen b 0\npay a b 6", 3 << 8 | OVERDRAFT),
        ("# comment\n\nopen a 5\npay a a 5\npay a a 6\n", 5 << 8 | OVERDRAFT),
        ("open a 5\npay a b 1", 2 << 8 | UNKNOWN),
        ("open a 5\nopen a 5", 2 << 8 | EXISTS),
        ("open a 4294967295\nopen b 1", 2 << 8 | SUPPLY),
        ("open a 4294967296", 1 << 8 | MALFORMED),
        ("open a -1", 1 << 8 | MALFORMED),
        ("open a", 1 << 8 | MALFORMED),
        ("open a ", 1 << 8 | MALFORMED),
        ("open  a 5", 1 << 8 | MALFORMED),
        ("open a 5 ", 1 << 8 | MALFORMED),
        ("open a 5\r\n", 1 << 8 | MALFORMED),
        ("open abcdefghijklmnop 5", 1 << 8 | MALFORMED),
        ("mint a 5", 1 << 8 | MALFORMED),
        ("\n".join(f"open n{i} 0" for i in range(4097)), 4097 << 8 | TOO_MANY),
    ],
)
def test_ledger_rejects(text: str, code: int) -> None:
    machine, output = run("ledger", text.encode())
    assert (machine.exit_code, output) == (code, b"")


def test_ledger_accepts_the_extremes() -> None:
    machine, output = run("ledger", b"open abcdefghijklmno 4294967295\nopen ~! 0\npay abcdefghijklmno ~! 4294967295")
    assert (machine.exit_code, output) == (0, b"abcdefghijklmno 0\n~! 4294967295\n")


SMALL_INPUTS = {
    "sha256": b"abc",
    "sieve": b"30",
    "quicksort": b"3 1 2 -7 12 100 5 5 9 -1 0 44 13 2",
    "ledger": b"open a 5\npay a a 6",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_step_is_the_same_on_both_engines(name: str) -> None:
    needs_speed()
    image = load_elf(elf_path(name))
    spec, fast = (boot(image, SMALL_INPUTS[name], engine=engine) for engine in ("spec", "fast"))
    outcome = Outcome.RETIRE
    while outcome is Outcome.RETIRE:
        record = spec.step()
        assert fast.step() == record
        outcome = record.outcome
        if record.t % 1000 == 0:
            assert fast.root() == spec.root()
    assert outcome is Outcome.ECALL
    assert fast.root() == spec.root()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_second_run_starts_afresh(name: str) -> None:
    """What the first run left in memory must not show in the result of the second."""
    needs_speed()
    image = load_elf(elf_path(name))
    machine, fresh = boot(image, SMALL_INPUTS["ledger"]), boot(image, SMALL_INPUTS[name])
    for data in (SMALL_INPUTS["sieve"], SMALL_INPUTS[name]):
        machine.boot(image.entry, data)
        machine.run(1 << 30)
    fresh.run(1 << 30)
    assert read_output(machine) == read_output(fresh)
    assert machine.exit_code == fresh.exit_code


def test_read_output_refuses_nonsense() -> None:
    machine = boot(load_elf(elf_path("sieve")), b"10")
    machine.write_state_word(OUTPUT_BASE, OUTPUT_MAX_BYTES + 1)
    with pytest.raises(OutputError, match="claims"):
        read_output(machine)
    with pytest.raises(KeyError):
        elf_path("nonesuch")
    assert machine.read_word(REGISTERS_BASE) == 0
