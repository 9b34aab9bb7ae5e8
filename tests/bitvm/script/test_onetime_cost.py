"""Weight units of the one-time signatures: the figures promised, and that real witnesses weigh what `cost` says."""

import random

import pytest
from onetime_attacks import any_message, public_key

from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import NODE, NODE_USED, Form, Window, cost, forms

FIVE_WORDS = Window(16, 40)


def test_promised_figures():
    assert cost(NODE, Form.SHOWN).maximum <= 3_000
    assert cost(NODE_USED, Form.USED).maximum <= 3_800
    assert cost(NODE_USED, Form.USED_NORMALISED).maximum <= 3_800
    assert cost(FIVE_WORDS, Form.USED).maximum / 5 <= 630


def test_exact_figures():
    """To be changed knowingly: every transaction of the game is built on these."""
    maxima = {
        (NODE, Form.SHOWN): 2971,
        (NODE, Form.USED): 3007,
        (NODE_USED, Form.SHOWN): 3250,
        (NODE_USED, Form.USED): 3764,
        (FIVE_WORDS, Form.SHOWN): 3110,
        (FIVE_WORDS, Form.USED): 3147,
        (FIVE_WORDS, Form.USED_NORMALISED): 3267,
        (Window(8, 2), Form.USED): 263,
        (Window(8, 10), Form.USED): 748,
    }
    assert {case: cost(*case).maximum for case in maxima} == maxima


@pytest.mark.parametrize("form", Form, ids=lambda form: form.name)
@pytest.mark.parametrize("scheme", [NODE, NODE_USED, FIVE_WORDS, Window(8, 2)], ids=repr)
def test_real_witnesses_weigh_what_was_computed(scheme, form):
    rng = random.Random(1)
    key = scheme.secret_key(rng.randbytes(32))
    b = ScriptBuilder([""] * 2 * scheme.slots)
    if form is Form.SHOWN:
        forms.show(b, [public_key(key)])
    else:
        names = [str(number) for number in range(scheme.numbers)]
        forms.use(b, [(public_key(key), names)], normalised=form is Form.USED_NORMALISED)
    expected = cost(scheme, form)
    assert len(b.script()) == expected.script
    items = forms.shown_items if form is Form.SHOWN else forms.used_items

    def weigh(signature):
        return len(b) + sum(1 + len(item) for item in items([signature]))

    weights = [weigh(key.sign(any_message(scheme, rng))) for _ in range(100)]
    assert max(weights) <= expected.maximum
    assert abs(sum(weights) / len(weights) - expected.average) < 1
    assert weigh(key.open([scheme.list_size(slot) - 1 for slot in range(scheme.slots)])) == expected.maximum
