"""Key paths: one text a path, one path a text."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitvm.keys.path import KeyPath, KeyPathError

SETUP = bytes(range(32))
PATH = KeyPath(SETUP, "prover", 3, 1, "c2", "Reveal 2", "answer/late", "R_2")

names = st.text(st.characters(codec="utf-8") | st.sampled_from("/%. =\x00"))
paths = st.builds(
    KeyPath,
    st.binary(min_size=32, max_size=32),
    names.filter(bool),
    st.integers(0, 10**6),
    st.integers(0, 99),
    names,
    names.filter(bool),
    names,
    names,
)


def test_the_text_is_fixed_for_good():
    assert str(PATH) == f"bitvm/{SETUP.hex()}/prover/3/1/c2/Reveal%202/answer%2Flate/R_2"
    assert bytes(PATH) == str(PATH).encode()


@given(paths)
def test_the_text_says_everything(path):
    assert KeyPath.parse(str(path)) == path
    assert str(path).count("/") == 8


@given(paths, paths)
def test_different_paths_have_different_texts(one, other):
    assert (bytes(one) == bytes(other)) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        {"setup": bytes(32)}, {"party": "challenger"}, {"claim": 4}, {"attempt": 2}, {"challenger": "c3"},
        {"transaction": "Step"}, {"leaf": "answer"}, {"field": "R_3"}, {"leaf": "answer/late/R_2", "field": ""},
    ],
)  # fmt: skip
def test_every_part_counts(change):
    assert bytes(dataclasses.replace(PATH, **change)) != bytes(PATH)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"setup": bytes(31)}, "set-up id"),
        ({"setup": "00" * 32}, "set-up id"),
        ({"party": ""}, "party is empty"),
        ({"transaction": ""}, "transaction is empty"),
        ({"claim": -1}, "claim"),
        ({"claim": True}, "claim"),
        ({"attempt": 1.0}, "attempt"),
        ({"field": b"R"}, "field is text"),
        ({"leaf": "\ud800"}, "UTF-8"),
    ],
)
def test_a_path_without_canonical_text(change, words):
    with pytest.raises(KeyPathError, match=words):
        dataclasses.replace(PATH, **change)


@pytest.mark.parametrize(
    "text",
    [
        "",
        str(PATH) + "/",
        str(PATH).replace("bitvm", "other"),
        str(PATH).replace("/3/", "/03/"),
        str(PATH).replace("/3/", "/-3/"),
        str(PATH).replace("/3/", "/\N{ARABIC-INDIC DIGIT THREE}/"),
        str(PATH).replace("%20", " "),
        str(PATH).replace("%2F", "%2f"),
        str(PATH).replace("prover", "%70rover"),
        str(PATH).replace("R_2", "%FF"),
        str(PATH).replace("1d1e1f", "1D1E1F"),
        str(PATH).replace("1d1e1f", "1d1e"),
        str(PATH).replace("1d1e1f", "1d1e1g"),
        str(PATH).replace("R_2", "R_2\n"),
    ],
)
def test_only_canonical_text_is_a_path(text):
    with pytest.raises(KeyPathError):
        KeyPath.parse(text)
