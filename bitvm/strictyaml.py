"""YAML for files that people write: plain values, every field once, and no error shows what the file holds."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

MAX_DEPTH = 16
"""Levels of mappings and lists; deeper ones cost the reader more than their size, and nothing of ours needs them."""


class StrictYamlError(ValueError):
    """No YAML as we read it; the message says what is wrong and near which line. It may hold a password, so no more."""


def parse_yaml(content: bytes) -> object:
    """Return what a file's content says; raises StrictYamlError.

    An alias is refused, which could blow a small file up, and a field given twice, of which YAML would take the last.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise StrictYamlError("not UTF-8; save it as UTF-8 text") from None
    try:
        return yaml.load(text, _StrictLoader)
    except _RefusedError as error:
        raise StrictYamlError(f"{error.problem}{_near(error)}") from None
    except yaml.MarkedYAMLError as error:  # its text would show lines of the file
        raise StrictYamlError(f"no YAML{_near(error)}; write 'field: value' lines") from None
    except (ValueError, RecursionError, yaml.YAMLError):
        raise StrictYamlError("no YAML; write 'field: value' lines") from None


def _near(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f" near line {mark.line + 1}" if mark else ""


class _RefusedError(yaml.MarkedYAMLError):
    """Valid YAML that we do not take; the problem's text is ours."""


class _StrictLoader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _RefusedError(problem="an alias in place of a value", problem_mark=self.get_mark())
        if self.depth == MAX_DEPTH:
            raise _RefusedError(problem=f"more than {MAX_DEPTH} levels", problem_mark=self.get_mark())
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: list[object] = []
        for key, _ in node.value:
            if key.value in seen:
                raise _RefusedError(problem="a field is given twice", problem_mark=key.start_mark)
            seen.append(key.value)
        return super().construct_mapping(node, deep)
