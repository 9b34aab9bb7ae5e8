import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from bitvm.daemon import alerts
from bitvm.daemon.alerts import SETTLE_SECONDS, Alert, Alerter, Memory, decide, environment
from bitvm.daemon.board import Board
from bitvm.daemon.status import Notice, NoticeKind, Severity, Snapshot

LOW = Notice(NoticeKind.RESERVE_LOW, Severity.WARNING, "reserve: 5 of 9")
GONE = Notice(NoticeKind.NODE_UNREACHABLE, Severity.CRITICAL, "node: no answer")
RISK = Notice(NoticeKind.MOVE_AT_RISK, Severity.WARNING, "Choice_1: 9 blocks", "alpha")
EMPTY = Snapshot("prover", 5.0, 7, "ab", 7, False)
HOUR = 3_600.0


def tell(memory: Memory, now: float, *notices: Notice) -> tuple[Memory, list[tuple[str, bool]]]:
    memory, told = decide(memory, notices, now, HOUR)
    return memory, [(alert.notice.text, alert.resolved) for alert in told]


def test_a_notice_is_told_when_it_is_new_and_again_while_it_lasts() -> None:
    memory, told = tell({}, 0, LOW, GONE)
    assert told == [(LOW.text, False), (GONE.text, False)]
    memory, told = tell(memory, HOUR - 1, LOW, GONE, RISK)
    assert told == [(RISK.text, False)]
    memory, told = tell(memory, HOUR, LOW, GONE, RISK)
    assert told == [(LOW.text, False), (GONE.text, False)]
    memory, told = tell(memory, 2 * HOUR - 1, LOW, GONE, RISK)
    assert told == [(RISK.text, False)]


def test_a_notice_whose_numbers_change_is_the_same() -> None:
    memory, _ = tell({}, 0, LOW)
    later = replace(LOW, text="reserve: 4 of 9")
    memory, told = tell(memory, 1, later)
    assert told == []
    memory, told = tell(memory, HOUR, later)
    assert told == [("reserve: 4 of 9", False)]


def test_a_notice_of_another_set_up_is_another() -> None:
    memory, _ = tell({}, 0, RISK)
    _, told = tell(memory, 1, RISK, replace(RISK, setup="beta"))
    assert len(told) == 1


def test_what_becomes_critical_is_told_at_once_and_what_becomes_better_is_not() -> None:
    worse = replace(LOW, severity=Severity.CRITICAL)
    memory, _ = tell({}, 0, LOW)
    memory, told = tell(memory, 1, worse)
    assert told == [(LOW.text, False)]
    memory, told = tell(memory, 2, worse)
    assert told == []
    memory, told = tell(memory, 3, LOW)
    assert told == []


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_notices_with_one_key_the_worse_is_told_once(order: int) -> None:
    worse = replace(LOW, severity=Severity.CRITICAL, text="reserve: 0 of 9")
    _, told = tell({}, 0, *[LOW, worse][::order])
    assert told == [(worse.text, False)]


def test_what_is_over_is_told_once_when_it_stays_away() -> None:
    memory, _ = tell({}, 0, LOW)
    memory, told = tell(memory, 10)
    assert told == []
    memory, told = tell(memory, 10 + SETTLE_SECONDS - 1)
    assert told == []
    memory, told = tell(memory, 10 + SETTLE_SECONDS)
    assert told == [(LOW.text, True)]
    memory, told = tell(memory, 10 + SETTLE_SECONDS + 1)
    assert told == []
    assert memory == {}


def test_what_comes_and_goes_is_one_notice() -> None:
    memory: Memory = {}
    said = []
    for tick in range(700):
        memory, told = tell(memory, tick * 5.0, *([LOW] if tick % 2 == 0 else []))
        said += told
    assert said == [(LOW.text, False)]


@given(st.lists(st.tuples(st.floats(0, 500), st.sets(st.sampled_from([LOW, GONE, RISK]))), max_size=40))
def test_every_notice_is_told_before_it_is_over_and_not_too_often(ticks: list[tuple[float, set[Notice]]]) -> None:
    memory: Memory = {}
    now = 0.0
    lasting: dict[Notice, float] = {}
    for wait, notices in ticks:
        now += wait
        memory, told = decide(memory, sorted(notices, key=str), now, HOUR)
        for alert in told:
            if alert.resolved:
                assert alert.notice not in notices
                del lasting[alert.notice]  # was told before
            else:
                assert alert.notice in notices
                assert now - lasting.get(alert.notice, -HOUR) >= HOUR
                lasting[alert.notice] = now
        assert notices <= set(lasting)
        assert {entry.notice for entry in memory.values()} == set(lasting)


def test_the_configuration_is_kept_from_the_command() -> None:
    told = environment(
        Alert(Notice(NoticeKind.GAME_ALARM, Severity.CRITICAL, "a\0b\nc" + "x" * 5_000), resolved=False),
        {"PATH": "/bin", "BITVM_NODE_URL": "http://me:secret@host:1", "BITVM_ALERT_TEXT": "old"},
    )
    assert told["PATH"] == "/bin"
    assert "BITVM_NODE_URL" not in told
    assert told["BITVM_ALERT_TEXT"].startswith("a b cxxx")
    assert len(told["BITVM_ALERT_TEXT"]) == 2_000
    assert (told["BITVM_ALERT_SETUP"], told["BITVM_ALERT_RESOLVED"]) == ("", "false")


@asynccontextmanager
async def alerting(alerter: Alerter) -> AsyncIterator[Board]:
    board = Board()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alerter.run, board)
        yield board
        nursery.cancel_scope.cancel()


def script(folder: Path, text: str) -> tuple[str, ...]:
    path = folder / "notify"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return (str(path), str(folder / "told"))


async def lines(folder: Path, number: int) -> list[str]:
    path = folder / "told"
    with trio.fail_after(10):
        while not path.exists() or len(path.read_text().splitlines()) < number:
            await trio.sleep(0.01)
    return path.read_text().splitlines()


async def test_the_command_is_told_by_json_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "SETTLE_SECONDS", 0.0)
    command = script(
        tmp_path,
        'printf "%s|%s|%s|%s|%s|%s\\n" "$(cat)" "$BITVM_ALERT_KIND" "$BITVM_ALERT_SEVERITY" "$BITVM_ALERT_SETUP" '
        '"$BITVM_ALERT_TEXT" "$BITVM_ALERT_RESOLVED" >> "$1"',
    )
    odd = replace(RISK, text='$(touch hacked) `id` "; rm -rf /')
    async with alerting(Alerter(command, HOUR)) as board:
        board.publish(replace(EMPTY, notices=(odd,)))
        (line,) = await lines(tmp_path, 1)
        json_text, *rest = line.split("|")
        assert json.loads(json_text) == {
            "kind": "move_at_risk",
            "severity": "warning",
            "setup": "alpha",
            "text": odd.text,
            "resolved": False,
            "role": "prover",
            "tip": 7,
            "at": 5.0,
        }
        assert rest == ["move_at_risk", "warning", "alpha", odd.text, "false"]
        board.publish(replace(EMPTY, ticks=1))
        line = (await lines(tmp_path, 2))[1]
        assert json.loads(line.split("|")[0])["resolved"] is True
        assert line.endswith("|true")


async def test_it_is_told_again_while_it_lasts(tmp_path: Path) -> None:
    command = script(tmp_path, 'echo x >> "$1"')
    async with alerting(Alerter(command, 0.2)) as board:
        for tick in range(20):
            board.publish(replace(EMPTY, ticks=tick, notices=(LOW,)))
            await trio.sleep(0.05)
        told = await lines(tmp_path, 3)
    assert 3 <= len(told) <= 6


@pytest.mark.parametrize("parent", ["", "trap '' TERM; "], ids=["polite", "deaf"])
async def test_a_command_that_hangs_is_killed_with_its_children_and_stops_no_other(
    parent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "COMMAND_SECONDS", 0.5)
    monkeypatch.setattr(alerts, "KILL_SECONDS", 0.1)
    command = script(
        tmp_path,
        'if [ "$BITVM_ALERT_KIND" = node_unreachable ]; then\n'
        f"  (trap '' TERM; sleep 1000; sleep 1000) & echo $! > {tmp_path}/child; {parent}wait; wait; sleep 1000\n"
        "fi\n"
        'echo "$BITVM_ALERT_KIND" >> "$1"',
    )
    async with alerting(Alerter(command, HOUR)) as board:
        board.publish(replace(EMPTY, notices=(GONE, LOW)))
        assert await lines(tmp_path, 1) == ["reserve_low"]
        board.publish(replace(EMPTY, ticks=1, notices=(GONE, LOW, RISK)))
        assert await lines(tmp_path, 2) == ["reserve_low", "move_at_risk"]
        child = int((tmp_path / "child").read_text())
        with trio.fail_after(10):
            while _alive(child) or "not done within" not in caplog.text:
                await trio.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_command_that_fails_is_tried_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "RETRY_SECONDS", 0.1)
    command = script(tmp_path, 'echo x >> "$1"; [ $(wc -l < "$1") -ge 3 ]')
    async with alerting(Alerter(command, HOUR)) as board:
        for tick in range(30):
            board.publish(replace(EMPTY, ticks=tick, notices=(LOW,)))
            await trio.sleep(0.05)
    assert len(await lines(tmp_path, 3)) == 3
    assert caplog.text.count("exit status 1") == 2


async def test_a_command_that_is_not_there_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with alerting(Alerter((str(tmp_path / "nothing"),), HOUR)) as board:
        board.publish(replace(EMPTY, notices=(LOW,)))
        with trio.fail_after(5):
            while "alert command failed" not in caplog.text:
                await trio.sleep(0.01)
    assert "No such file" in caplog.text


async def test_too_many_alerts_are_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "WAITING", 3)
    command = script(tmp_path, 'sleep 0.2; echo x >> "$1"')
    async with alerting(Alerter(command, HOUR)) as board:
        board.publish(replace(EMPTY, notices=tuple(replace(RISK, setup=str(index)) for index in range(10))))
        assert len(await lines(tmp_path, 3)) == 3
    assert caplog.text.count("too many alerts wait") == 7


async def test_without_a_command_notices_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with alerting(Alerter(None, HOUR)) as board:
        board.publish(replace(EMPTY, notices=(GONE,)))
        with trio.fail_after(5):
            while "node: no answer" not in caplog.text:
                await trio.sleep(0.01)
    assert caplog.records[-1].levelname == "ERROR"
