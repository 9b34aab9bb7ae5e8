import io
import json
import logging
from collections.abc import Iterator

import pytest

from bitvm.daemon.config import LogConfig
from bitvm.daemon.logs import bound, configure, get_logger


@pytest.fixture(autouse=True)
def _root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def spoken(format_: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure(LogConfig(level=level, format=format_), stream)
    return stream


def test_a_record_has_time_level_event_and_values() -> None:
    stream = spoken("json")
    get_logger("bitvm.area").warning("challenged", setup="alpha", height=7, txid=bytes(2))
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "warning",
        "event": "challenged",
        "logger": "bitvm.area",
        "setup": "alpha",
        "height": 7,
        "txid": "0000",
    }


def test_what_is_bound_is_in_every_record_and_in_those_of_libraries() -> None:
    stream = spoken("json")
    with bound(setup="alpha"):
        get_logger("a").info("one")
        logging.getLogger("library").warning("two %d", 2)
    get_logger("a").info("three")
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record["event"] for record in records] == ["one", "two 2", "three"]
    assert [record.get("setup") for record in records] == ["alpha", "alpha", None]
    assert [record["logger"] for record in records] == ["a", "library", "a"]


@pytest.mark.parametrize(("level", "expected"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_only_what_is_bad_enough_is_said(level: str, expected: int) -> None:
    stream = spoken("text", level)
    for name in ("debug", "info", "warning", "error"):
        getattr(get_logger("a"), name)("said")
    assert len(stream.getvalue().splitlines()) == expected


def test_text_is_one_line_for_people() -> None:
    stream = spoken("text")
    get_logger("bitvm.area").info("challenged", setup="alpha", height=7)
    (line,) = stream.getvalue().splitlines()
    assert line.endswith("[info     ] challenged [bitvm.area] height=7 setup=alpha")


def test_foreign_text_cannot_make_lines_or_reach_the_terminal() -> None:
    hostile = "a\n2026 [info] won\x1b[2J\r\u202e"
    stream = spoken("text")
    get_logger("a").info(hostile, peer=hostile)
    logging.getLogger("library").info("%s", hostile)
    lines = stream.getvalue().split("\n")
    assert len(lines) == 3
    assert not any(char in stream.getvalue() for char in "\x1b\r\u202e")
    stream = spoken("json")
    get_logger("a").info(hostile, peer=hostile)
    assert len(stream.getvalue().splitlines()) == 1
    assert json.loads(stream.getvalue())["peer"] == hostile


@pytest.mark.parametrize("format_", ["text", "json"])
def test_an_exception_is_in_the_record(format_: str) -> None:
    stream = spoken(format_)
    try:
        int("a\x1bb", 0)
    except ValueError:
        get_logger("a").exception("failed", setup="alpha")
        logging.getLogger("library").exception("failed")
    assert stream.getvalue().count("Traceback (most recent call last)") == 2
    assert "\x1b" not in stream.getvalue()


def test_configured_twice_speaks_once_and_leaves_the_handlers_of_others() -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    first, second = spoken("text"), spoken("text")
    get_logger("a").info("said")
    assert not first.getvalue()
    assert second.getvalue().count("said") == 1
    assert other in logging.getLogger().handlers


def test_before_it_is_configured_nothing_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    get_logger("bitvm.area").error("failed")
    assert not capsys.readouterr().out
