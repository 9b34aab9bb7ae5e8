import pytest
from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder, ScriptError, decode_number, encode_number, push_data


@pytest.mark.parametrize(
    ("value", "item"),
    [
        (0, b""),
        (1, b"\x01"),
        (-1, b"\x81"),
        (127, b"\x7f"),
        (128, b"\x80\x00"),
        (-128, b"\x80\x80"),
        (256, b"\x00\x01"),
    ],
)
def test_numbers_are_minimal_sign_magnitude(value, item):
    assert encode_number(value) == item
    assert decode_number(item) == value


def test_numbers_are_read_as_consensus_reads_them():
    assert decode_number(b"\x80") == 0
    assert decode_number(b"\x05\x00") == 5
    with pytest.raises(ScriptError, match="at most 4"):
        decode_number(bytes(5))


def test_small_pushes_use_their_opcode():
    assert push_data(b"") == bytes([op.OP_0])
    assert push_data(b"\x10") == bytes([op.OP_16])
    assert push_data(b"\x81") == bytes([op.OP_1NEGATE])
    assert push_data(bytes(76))[:2] == bytes([op.OP_PUSHDATA1, 76])
    assert push_data(bytes(256))[:3] == bytes([op.OP_PUSHDATA2, 0, 1])
    with pytest.raises(ScriptError, match="520"):
        push_data(bytes(521))


def test_moves_take_the_cheapest_opcode_and_follow_names():
    b = ScriptBuilder(["a", "b", "c", "d"])
    b.roll("b")
    b.pick("b", "copy")
    b.roll("d")
    assert b.stack == ["a", "c", "b", "copy", "d"]
    assert b.script() == bytes([op.OP_ROT, op.OP_DUP, op.OP_ROT])
    b.roll("a")
    assert b.script()[-2:] == bytes([op.OP_4, op.OP_ROLL])
    assert b.peak == 5


def test_verify_fuses_only_with_an_opcode():
    b = ScriptBuilder(["x"])
    b.equals_number(5)
    b.verify()
    assert b.script() == bytes([op.OP_5, op.OP_NUMEQUALVERIFY])
    b.data(bytes([op.OP_EQUAL]))  # the byte of a push must not be taken for an opcode
    b.verify()
    assert b.script()[-1] == op.OP_VERIFY
    assert b.stack == []


def test_underflow_unknown_names_and_too_many_items_are_refused():
    with pytest.raises(ScriptError, match="items needed"):
        ScriptBuilder().drop()
    with pytest.raises(ScriptError, match="no item"):
        ScriptBuilder(["a"]).pick("b")
    with pytest.raises(ScriptError, match="alt stack"):
        ScriptBuilder().from_alt()
    b = ScriptBuilder([""] * 1_000)
    with pytest.raises(ScriptError, match="1000"):
        b.number(1)


def test_bytes_are_accounted_to_the_innermost_part():
    b = ScriptBuilder()
    with b.part("outer"):
        b.number(1)
        with b.part("inner"):
            b.number(17)
        b.number(2)
    b.number(3)
    assert b.budget == {"outer": 2, "inner": 2}
    assert len(b) == 5
