"""Weight of one-time signatures: script bytes plus witness bytes, which both count one weight unit a byte.

The figures hold for one key alone in its leaf, everything included that `forms` writes for it, the move of secrets to
the alt stack and the length byte of each witness item too. A leaf adds its keys up; only the three bytes of the shown
form's depth check are there once, and a used digit that lies more than 127 items deep costs one byte more.
"""

from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction

from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import forms
from bitvm.script.onetime.chain import VALUE_BYTES, item_bytes
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme


class Form(Enum):
    """How a leaf opens a key."""

    SHOWN = auto()
    USED = auto()
    """Numbers in range, indices in any encoding."""
    USED_NORMALISED = auto()
    """Numbers in range and minimal."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Weight units of one key: script, and witness items with their length bytes."""

    script: int
    witness_maximum: int
    witness_average: Fraction
    """Over all messages; a digit of zero saves a byte."""

    @property
    def maximum(self) -> int:
        """Exact maximum of the whole."""
        return self.script + self.witness_maximum

    @property
    def average(self) -> float:
        """Average of the whole over uniformly distributed messages."""
        return float(self.script + self.witness_average)


def cost(scheme: AnyScheme, form: Form) -> Cost:
    """Return what signing one message with `scheme` costs in `form`, by writing the script."""
    secrets = sum(1 + item_bytes(level) for level in scheme.levels)
    one_byte_indices = sum(scheme.list_size(slot) > 1 for slot in range(scheme.slots))
    zeros = sum((scheme.zero_probability(slot) for slot in range(scheme.slots)), Fraction(0))
    return Cost(
        script=_script_bytes(scheme, form),
        witness_maximum=secrets + scheme.slots + one_byte_indices,
        witness_average=secrets + 2 * scheme.slots - zeros,
    )


def _script_bytes(scheme: AnyScheme, form: Form) -> int:
    key = PublicKey(scheme, tuple(chain.to_bytes(VALUE_BYTES, "big") for chain in range(scheme.chains)))
    b = ScriptBuilder([""] * 2 * scheme.slots)
    if form is Form.SHOWN:
        forms.show(b, [key])
    else:
        names = [f"number {number}" for number in range(scheme.numbers)]
        forms.use(b, [(key, names)], normalised=form is Form.USED_NORMALISED)
    return len(b)
