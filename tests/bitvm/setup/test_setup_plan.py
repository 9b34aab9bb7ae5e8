from dataclasses import replace

import pytest
import yaml
from plans import FIRST, PARAMETERS, PLAN, PROVER

from bitvm.setup.plan import Address, PlanError, PlannedParty, SetupPlan

BAD_HOSTS = (
    "prover..example",
    ".example",
    "example.",
    "a" * 64 + ".example",
    ".".join(["a" * 60] * 5),
    "a\u200db",
    "\ud800",
    "\u00e9.example",
    "a b",
    "a\n",
    "a/b",
    "\0",
    "[example]",
    "[127.0.0.1]",
    "[::zz]",
    "[fe80::1%eth0]",
    "[]",
    "",
)
"""What no socket takes, or not without an error of its own."""


def changed(path=(), **fields):
    """Return the plan's YAML with fields of a part changed; None takes one away."""
    values = PLAN.to_json()
    part = values
    for step in path:
        part = part[step]
    for name, value in fields.items():
        if value is None:
            del part[name]
        else:
            part[name] = value
    return yaml.safe_dump(values).encode()


def test_a_saved_plan_is_the_same_again(tmp_path):
    path = tmp_path / "setup.yaml"
    PLAN.save(path)
    assert SetupPlan.load(path) == PLAN
    assert SetupPlan.load(path).digest() == PLAN.digest()
    before = path.read_bytes()
    with pytest.raises(PlanError, match=r"setup\.yaml: exists"):
        replace(PLAN, name="other").save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_host_that_sockets_do_not_take_is_refused(host):
    with pytest.raises(PlanError, match="host:port needed"):
        Address.parse(f"{host}:80")


@pytest.mark.parametrize("host", ["a", "127.0.0.1", "-x_.A9", "[::1]", "[::ffff:1.2.3.4]", ".".join(["a" * 62] * 4)])
def test_names_and_addresses_are_read_and_written_the_same(host):
    assert str(Address.parse(f"{host}:80")) == f"{host}:80"


def test_the_digest_is_of_what_is_said_not_of_how_it_is_written():
    rewritten = b"# a remark\n" + yaml.safe_dump(PLAN.to_json(), sort_keys=True, default_flow_style=True).encode()
    assert SetupPlan.parse(rewritten).digest() == PLAN.digest()
    without = changed(("parties", "challengers", 1), address=None)
    assert SetupPlan.parse(without).digest() == PLAN.digest(), "null or left out is the same"
    others = [
        replace(PLAN, name="ledger-2"),
        replace(PLAN, network="main"),
        replace(PLAN, program=bytes(32)),
        replace(PLAN, parameters=replace(PARAMETERS, delta=13)),
        replace(PLAN, setup_address=Address("127.0.0.1", 1)),
        replace(PLAN, prover=PlannedParty(PROVER)),
        replace(PLAN, challengers=PLAN.challengers[::-1]),
    ]
    assert len({plan.digest() for plan in (PLAN, *others)}) == len(others) + 1


def test_parties_and_identities_are_found_both_ways():
    assert list(PLAN.parties) == ["prover", "challenger1", "challenger2"]
    for party, identity in PLAN.identities.items():
        assert PLAN.party_of(identity) == party
        assert PLAN.identity_of(party) == identity
    assert PLAN.party_of(bytes(32)) is None
    assert PLAN.address_of("challenger1") == Address("::1", 7003)
    assert PLAN.address_of("challenger2") is None
    with pytest.raises(PlanError, match="no party 'challenger3'"):
        PLAN.identity_of("challenger3")


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ((), {"name": None}, "missing: name"),
        ((), {"more": 1}, "unknown fields: more"),
        ((), {"name": "Ledger"}, "name: 1 to 40"),
        ((), {"name": "../up"}, "name: 1 to 40"),
        ((), {"name": "a" * 41}, "name: 1 to 40"),
        ((), {"name": 7}, "name: text needed"),
        ((), {"network": "moon"}, "network: one of main"),
        ((), {"program": "00" * 31}, "program: 64"),
        ((), {"program": 10**63}, "program: text needed"),
        ((), {"parameters": 7}, "parameters: a mapping"),
        (("parameters",), {"delta": "12"}, "parameters: delta: a whole number"),
        (("parameters",), {"gamma": 1}, "parameters: unknown fields: gamma"),
        (("parameters",), {"challengers": 3}, "parties.challengers: parameters.challengers says 3, got 2"),
        ((), {"parties": []}, "parties: a mapping"),
        (("parties",), {"prover": None}, "parties: missing: prover"),
        (("parties",), {"challengers": {}}, "parties.challengers: a list"),
        (("parties", "prover"), {"setup_address": None}, "parties.prover: missing: setup_address"),
        (("parties", "prover"), {"setup_address": "127.0.0.1"}, "parties.prover.setup_address: host:port"),
        (("parties", "prover"), {"address": "host:0"}, "parties.prover.address: a port"),
        (("parties", "prover"), {"address": "host:65536"}, "parties.prover.address: a port"),
        (("parties", "prover"), {"address": "::1:80"}, "parties.prover.address: host:port"),
        (("parties", "prover"), {"address": "none"}, "parties.prover.address: host:port"),
        (("parties", "prover"), {"address": 80}, "parties.prover.address: text"),
        (("parties", "challengers", 1), {"identity": "zz"}, r"challengers\[1\] \(challenger2\).identity: an identity"),
        (("parties", "challengers", 1), {"identity": FIRST.hex()}, "challenger2 has the identity of challenger1"),
        (("parties", "challengers", 0), {"setup_address": "a:1"}, "unknown fields: setup_address"),
    ],
)
def test_what_is_no_plan_is_named(tmp_path, path, fields, expected):
    file = tmp_path / "bad.yaml"
    file.write_bytes(changed(path, **fields))
    with pytest.raises(PlanError, match=rf"bad\.yaml: .*{expected}"):
        SetupPlan.load(file)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "a mapping of name"),
        (b"- 1", "a mapping of name"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{", "no YAML near line 1"),
        (b"[" * 5_000, "more than 16 levels near line 1"),
        (PLAN.to_yaml().encode() + b"network: main\n", "a field is given twice near line "),
        (b"a: &a [1]\nb: *a\n", "an alias"),
        (b"!!python/object/apply:os.getpid []", "no YAML"),
        (b"#" * 200_000, "more than"),
    ],
)
def test_what_is_no_yaml_of_ours_is_refused(content, expected):
    with pytest.raises(PlanError, match=expected):
        SetupPlan.parse(content)


def test_a_plan_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(PlanError, match=r"none\.yaml: no such plan"):
        SetupPlan.load(tmp_path / "none.yaml")
    with pytest.raises(PlanError, match="cannot be read"):
        SetupPlan.load(tmp_path)
    with pytest.raises(PlanError, match="cannot be written"):
        PLAN.save(tmp_path / "none" / "setup.yaml")
