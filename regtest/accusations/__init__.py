"""Cases of hostile challengers: against an honest prover, beside honest challengers, and over claims in sequence."""

from __future__ import annotations

from regtest.accusations.alone import alone_cases
from regtest.accusations.sequence import sequence_cases
from regtest.accusations.together import together_cases
from regtest.cases import Case


def challenger_cases() -> tuple[Case, ...]:
    """Return the cases of one challenger that accuses an honest prover."""
    return tuple(alone_cases())


def combined_cases() -> tuple[Case, ...]:
    """Return the cases of several challengers at once."""
    return tuple(together_cases())


def claims_cases() -> tuple[Case, ...]:
    """Return the cases of several claims in sequence."""
    return tuple(sequence_cases())
