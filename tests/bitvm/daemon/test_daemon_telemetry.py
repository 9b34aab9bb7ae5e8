from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bitvm.daemon.status import (
    ClaimStatus,
    GameStatus,
    Notice,
    NoticeKind,
    SetupStatus,
    Severity,
    Snapshot,
    WalletStatus,
)
from bitvm.daemon.telemetry import GAME_STATES, METRIC_NAMES, RUN_BUCKETS, Telemetry

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def values(telemetry: Telemetry) -> Values:
    """Read what was rendered, as a scraper does."""
    families = text_string_to_metric_families(telemetry.render().decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def shown(snapshot: Snapshot) -> Values:
    telemetry = Telemetry()
    telemetry.update(snapshot)
    return values(telemetry)


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


GAMES = (
    GameStatus("alpha", 0, 1, "running", turn="prover", deadline=112, fees=500),
    GameStatus("alpha", 0, 2, "running", turn="challenger2", deadline=101, fees=20),
    GameStatus("alpha", 1, 1, "open"),
)
CLAIMS = (ClaimStatus("alpha", 0, made=90, verdict="INVALID"), ClaimStatus("alpha", 1))
FULL = Snapshot(
    "prover",
    1_000.5,
    100,
    "ab",
    99,
    True,
    setups=(
        SetupStatus("alpha", "01", "prover", 99, True, False, CLAIMS, GAMES),
        SetupStatus("beta", "02", "prover", None, False, False),
    ),
    wallet=WalletStatus("bcrt1", 5_000, 3, 1_000, 4_000),
    notices=(Notice(NoticeKind.NODE_UNREACHABLE, Severity.CRITICAL, "gone"),),
    ticks=9,
    tick_seconds=0.25,
    runs=(0.1, 0.2, 5.0, 1e6),
)


def test_every_metric_of_a_snapshot() -> None:
    found = shown(FULL)
    expected = {
        key("bitvm_role", role="prover"): 1,
        key("bitvm_node_up"): 0,
        key("bitvm_tip_height"): 100,
        key("bitvm_acted_height"): 99,
        key("bitvm_last_tick_timestamp_seconds"): 1_000.5,
        key("bitvm_tick_seconds"): 0.25,
        key("bitvm_ticks_total"): 9,
        key("bitvm_recovering"): 1,
        key("bitvm_setups", state="funded"): 1,
        key("bitvm_setups", state="unfunded"): 1,
        key("bitvm_setups", state="over"): 0,
        key("bitvm_setup_height", setup="alpha"): 99,
        key("bitvm_games", setup="alpha", state="running"): 2,
        key("bitvm_games", setup="alpha", state="open"): 1,
        key("bitvm_games", setup="beta", state="won"): 0,
        key("bitvm_claims", setup="alpha", verdict="INVALID"): 1,
        key("bitvm_claims", setup="alpha", verdict="UNKNOWN"): 0,
        key("bitvm_moves_owed"): 1,
        key("bitvm_nearest_deadline_blocks"): 12,
        key("bitvm_wallet_balance_satoshis"): 5_000,
        key("bitvm_wallet_coins"): 3,
        key("bitvm_wallet_reserved_satoshis"): 1_000,
        key("bitvm_wallet_reserve_satoshis"): 4_000,
        key("bitvm_fees_paid_satoshis"): 520,
        key("bitvm_notices", kind="node_unreachable", severity="critical"): 1,
        key("bitvm_notices", kind="reserve_low", severity="warning"): 0,
        key("bitvm_run_seconds_bucket", le="0.1"): 1,
        key("bitvm_run_seconds_bucket", le="1.0"): 2,
        key("bitvm_run_seconds_bucket", le="10.0"): 3,
        key("bitvm_run_seconds_bucket", le=f"{RUN_BUCKETS[-1]}"): 3,
        key("bitvm_run_seconds_bucket", le="+Inf"): 4,
        key("bitvm_run_seconds_count"): 4,
    }
    assert {name: found.get(name) for name in expected} == expected
    names = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name, _ in found}
    assert names == set(METRIC_NAMES)
    assert sum(1 for name, _ in found if name == "bitvm_notices") == len(NoticeKind) * len(Severity)
    assert sum(1 for name, _ in found if name == "bitvm_games") == 2 * len(GAME_STATES)


def test_what_is_gone_is_gone() -> None:
    telemetry = Telemetry()
    assert values(telemetry) == {}
    telemetry.update(FULL)
    telemetry.update(replace(FULL, setups=(), wallet=None, tip=None, acted=None, notices=()))
    found = values(telemetry)
    for name in ("bitvm_tip_height", "bitvm_acted_height", "bitvm_nearest_deadline_blocks", "bitvm_wallet_coins"):
        assert key(name) not in found
    assert not any(("setup", "alpha") in labels for _, labels in found)
    assert found[key("bitvm_node_up")] == 1


def test_two_daemons_in_one_process_do_not_mix() -> None:
    one, two = Telemetry(), Telemetry()
    one.update(FULL)
    two.update(replace(FULL, tip=5))
    assert values(one)[key("bitvm_tip_height")] == 100
    assert values(two)[key("bitvm_tip_height")] == 5


@pytest.mark.parametrize("name", ['a"b', "a\nb", "a\\b", "ä"])
def test_any_name_of_a_set_up_can_be_scraped(name: str) -> None:
    found = shown(replace(FULL, setups=(SetupStatus(name, "01", "prover", 4, True, False),)))
    assert found[key("bitvm_setup_height", setup=name)] == 4
