"""Leaves about the M extension, one an instruction: products in `mul`, quotients in `div`, remainders in `rem`."""

from __future__ import annotations

from bitvm.leaves.execution.base import ExecutionLeaf
from bitvm.leaves.execution.div import DIV_LEAVES
from bitvm.leaves.execution.mul import MUL_LEAVES
from bitvm.leaves.execution.rem import REM_LEAVES

MULDIV_LEAVES: tuple[ExecutionLeaf, ...] = (*MUL_LEAVES, *DIV_LEAVES, *REM_LEAVES)
