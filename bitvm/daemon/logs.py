"""The log: records of time, level, event and named values, on standard error, for people or for programs.

`get_logger(__name__).info("challenged", setup="alpha", txid=...)` makes such a record; values that hold for all that a
piece of code says are bound with `bound(setup="alpha")`. What libraries say through `logging` comes out in the same
form. Text from other parties cannot end a line or reach a terminal as a control character.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.contextvars import bound_contextvars as bound
from structlog.typing import Processor

from bitvm.daemon.config import LogConfig

__all__ = ["bound", "configure", "get_logger"]

Logger = structlog.stdlib.BoundLogger
_LAYOUT_IN_TRACEBACKS = "\n\t"


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
]
structlog.configure(  # at import: a logger that is used before `configure` speaks through `logging` too
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=Logger,
    cache_logger_on_first_use=False,
)


def get_logger(name: str) -> Logger:
    """Return the logger of a module."""
    return structlog.stdlib.get_logger(name)


class _OurHandler(logging.StreamHandler[TextIO]):
    """Tells our handler from those of others, which stay."""


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send the log of the whole process to `stream` (standard error if none is given), as the configuration says."""
    handler = _OurHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _hexadecimal,
                *([structlog.processors.JSONRenderer()] if config.format == "json" else [_printable, _FOR_PEOPLE]),
            ],
        )
    )
    root = logging.getLogger()
    for other in list(root.handlers):
        if isinstance(other, _OurHandler):
            root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(config.level.upper())


_FOR_PEOPLE = structlog.dev.ConsoleRenderer(
    colors=False, timestamp_key="time", pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
)


def _hexadecimal(_logger: Any, _method: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Write bytes in hexadecimal."""
    for key, value in record.items():
        if isinstance(value, bytes):
            record[key] = value.hex()
    return record


def _printable(_logger: Any, _method: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Write control characters as they are written in Python; JSON does so by itself."""
    for key, value in record.items():
        if isinstance(value, str):
            keep = _LAYOUT_IN_TRACEBACKS if key == "exception" else ""
            record[key] = "".join(
                char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in value
            )
    return record
