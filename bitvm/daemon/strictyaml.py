"""YAML for files that people write: a field given twice is an error, and no error shows what the file holds."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml


class StrictYamlError(ValueError):
    """The file cannot be read as YAML; the message names it, and the line where there is one."""


def load_yaml(path: Path) -> object:
    """Return what the file holds; or StrictYamlError. No part of it is in the message: it may hold a password."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise StrictYamlError(f"{path}: not UTF-8; save it as UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise StrictYamlError(f"{path}: cannot be read: {error}; name a file that exists and can be read") from error
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as error:  # its text would show lines of the file
        mark = error.problem_mark or error.context_mark
        line = f" near line {mark.line + 1}" if mark else ""
        raise StrictYamlError(f"{path}: no YAML{line}; write 'field: value' lines, and every field once") from None
    except (ValueError, RecursionError, yaml.YAMLError):
        raise StrictYamlError(f"{path}: no YAML; write 'field: value' lines") from None


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that is there twice, where YAML would take the last one."""
        seen: list[object] = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem_mark=key.start_mark)
            seen.append(key.value)
        return super().construct_mapping(node, deep)
