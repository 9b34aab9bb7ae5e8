"""Shared by all tests: makes tests/helpers importable, times no example of a property, ends the log of each test.

A command that runs within a test sends its log to the standard error of that test. Later tests would write to it too,
when it is closed: slowly, since each time a traceback is printed.
"""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.pop("COLUMNS", None)  # parallel workers are told 80, where a pipe gets a table's own width

sys.path.insert(0, str(Path(__file__).parent / "helpers"))

settings.register_profile("whatever else runs", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whatever else runs")


@pytest.fixture(autouse=True)
def log_of_this_test_alone() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers).difference(handlers):
        root.removeHandler(handler)
    root.setLevel(level)
