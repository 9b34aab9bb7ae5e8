"""What each parameter means, taken from the docstring of ``Parameters``, so that it is written down once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields

from bitvm.graph.parameters import Parameters

_LINE = re.compile(r"^(\w+): (.+?)\.?$")


def parameter_meanings() -> Mapping[str, str]:
    """Return the meaning of every parameter by field name, in field order; raises KeyError for an undocumented one."""
    lines = inspect.getdoc(Parameters) or ""
    documented = {match[1]: match[2] for line in lines.splitlines() if (match := _LINE.match(line))}
    return {field.name: documented[field.name] for field in fields(Parameters)}
