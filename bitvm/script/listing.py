"""Scripts as text for people: one statement a line, branches indented, pushes as what they push."""

from __future__ import annotations

from collections.abc import Iterator

from bitcoin.core import script as op

from bitvm.script.builder import decode_number

MAX_LINE = 96
"""Columns after which a statement goes on in the next line."""

_INDENT = "    "
_OPENS = {"IF", "NOTIF"}
_NAMES = {int(code): name.removeprefix("OP_") for code, name in op.OPCODE_NAMES.items()} | {0xBA: "CHECKSIGADD"}


class TruncatedScriptError(ValueError):
    """A script that ends inside a push."""


def tokens(script: bytes) -> Iterator[str]:
    """Yield the opcodes of a script by name without ``OP_``, pushes as numbers or ``<hex>``.

    Raises TruncatedScriptError.
    """
    position = 0
    while position < len(script):
        code = script[position]
        position += 1
        if not 0 < code <= op.OP_PUSHDATA4:
            yield _name(code)
            continue
        width = {op.OP_PUSHDATA1: 1, op.OP_PUSHDATA2: 2, op.OP_PUSHDATA4: 4}.get(code, 0)
        size = int.from_bytes(script[position : position + width], "little") if width else code
        data = script[position + width : position + width + size]
        if len(data) != size:
            raise TruncatedScriptError(f"a push of {size} bytes at byte {position - 1} goes past the script's end")
        position += width + size
        yield str(decode_number(data)) if size <= 4 else f"<{data.hex()}>"


def _name(code: int) -> str:
    if code == op.OP_0 or op.OP_1 <= code <= op.OP_16:
        return "0" if code == op.OP_0 else str(code - op.OP_1 + 1)
    return "-1" if code == op.OP_1NEGATE else _NAMES.get(code, f"UNKNOWN_{code:#04x}")


def listing(script: bytes) -> Iterator[str]:
    """Yield lines: a line ends after each check (``…VERIFY``) and around the parts of a branch."""
    depth, line = 0, ""

    def indented() -> str:
        return _INDENT * depth + line

    for token in tokens(script):
        if token in {"ELSE", "ENDIF"}:
            if line:
                yield indented()
            depth -= 1
            line = token
            yield indented()
            depth += token == "ELSE"
            line = ""
            continue
        if line and len(indented()) + 1 + len(token) > MAX_LINE:
            yield indented()
            line = ""
        line = f"{line} {token}" if line else token
        if token in _OPENS or token.endswith("VERIFY"):
            yield indented()
            depth += token in _OPENS
            line = ""
    if line:
        yield indented()
