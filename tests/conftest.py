"""Shared by all tests: makes the modules in tests/helpers importable by their plain names."""

import os
import sys
from pathlib import Path

os.environ.pop("COLUMNS", None)  # parallel workers are told 80, where a pipe gets a table's own width

sys.path.insert(0, str(Path(__file__).parent / "helpers"))
