"""Encodings: against words from the manual and the assembler, both ways, and exactly this machine's instructions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvm import isa
from lvm.isa import INSTRUCTIONS, IllegalInstruction, decode, encode

WORDS = {  # checked against binutils' output
    0x00100093: isa.addi(1, 0, 1),
    0xFFF00513: isa.addi(10, 0, -1),
    0x800FF093: isa.andi(1, 31, -2048),
    0x123450B7: isa.lui(1, 0x12345),
    0xFFFFF297: isa.auipc(5, 0xFFFFF),
    0xFFDFF0EF: isa.jal(1, -4),
    0x0000006F: isa.jal(0, 0),
    0x00008067: isa.jalr(0, 1, 0),
    0xFE209EE3: isa.bne(1, 2, -4),
    0x00B50463: isa.beq(10, 11, 8),
    0xFE112E23: isa.sw(1, 2, -4),
    0x00C12083: isa.lw(1, 2, 12),
    0x40F55513: isa.srai(10, 10, 15),
    0x01F09093: isa.slli(1, 1, 31),
    0x40B50533: isa.sub(10, 10, 11),
    0x02B54533: isa.div(10, 10, 11),
    0x02B51533: isa.mulh(10, 10, 11),
    0x0FF0000F: isa.fence(),
    0x0000100F: isa.fence_i(),
    0x00000073: isa.ecall(),
    0x80051073: isa.csrrw(isa.UWIN, 10),
    0x801F9073: isa.csrrw(isa.FUEL, 31),
    0x80202573: isa.csrrs(10, isa.EPC),
    0x80302FF3: isa.csrrs(31, isa.CAUSE),
    0x30200073: isa.mret(),
}


def test_known_words() -> None:
    for word, encoded in WORDS.items():
        assert encoded == word, f"{word:#010x}"


def test_the_machine_has_all_of_rv32im_and_little_else() -> None:
    # RV32I without FENCE/ECALL/EBREAK, FENCE, FENCE.I, ECALL, M, CSRRW + CSRRS + MRET
    assert len(INSTRUCTIONS) == 37 + 1 + 1 + 1 + 8 + 3
    matches = {(entry.mask, entry.match) for entry in INSTRUCTIONS.values()}
    assert len(matches) == len(INSTRUCTIONS)
    for entry in INSTRUCTIONS.values():
        others = [other for other in INSTRUCTIONS.values() if other is not entry]
        assert not any(entry.match & other.mask == other.match for other in others), entry.name


@given(st.sampled_from(sorted(INSTRUCTIONS)), st.data())
def test_encode_then_decode(name: str, data: st.DataObject) -> None:
    layout = INSTRUCTIONS[name].format
    register = st.integers(0, 31)
    operands = {field: data.draw(register, field) for field in ("rd", "rs1", "rs2")}
    low, high, unit = {
        "B": (-2048, 2047, 2),
        "J": (-(1 << 19), (1 << 19) - 1, 2),
        "SHIFT": (0, 31, 1),
        "U": (0, 0xFFFFF, 1),
    }.get(layout, (-2048, 2047, 1))
    imm = unit * data.draw(st.integers(low, high), "imm")
    if layout in ("CSRW", "CSRR"):
        imm = data.draw(st.sampled_from(sorted(isa.CSR_NAMES)), "csr")
    instruction = decode(encode(name, **operands, imm=imm))
    assert instruction.name == name
    used = {"R": "rd rs1 rs2", "I": "rd rs1", "SHIFT": "rd rs1", "S": "rs1 rs2", "B": "rs1 rs2", "U": "rd", "J": "rd"}
    used |= {"CSRR": "rd", "CSRW": "rs1"}
    for field in used.get(layout, "").split():
        assert getattr(instruction, field) == operands[field]
    if layout == "U":
        assert instruction.imm == imm << 12
    elif layout not in ("R", "FENCE", "ECALL"):
        assert instruction.imm == imm


@settings(max_examples=2000)
@given(st.integers(0, 2**32 - 1))
def test_decode_is_total_and_reads_the_raw_fields(word: int) -> None:
    if isa.encoding_of(word) is None:
        with pytest.raises(IllegalInstruction) as caught:
            decode(word)
        assert caught.value.word == word
        return
    instruction = decode(word)
    fields = (instruction.opcode, instruction.rd, instruction.funct3, instruction.rs1, instruction.rs2)
    shifts = (0, 7, 12, 15, 20)
    assert sum(value << shift for value, shift in zip(fields, shifts, strict=True)) | instruction.funct7 << 25 == word


ILLEGAL = {
    "zero": 0,
    "ones": 0xFFFFFFFF,
    "ebreak": 0x00100073,
    "wfi": 0x10500073,
    "mret with rd": 0x302000F3,
    "mret with rs1": 0x30208073,
    "sret": 0x10200073,
    "csrrw with rd": isa.csrrw(isa.FUEL, 1) | 1 << 7,
    "csrrs with rs1": isa.csrrs(1, isa.FUEL) | 1 << 15,
    "csrrw below": 0x7FF09073,
    "csrrw above": 0x80409073,
    "csrrs below": 0x7FF020F3,
    "csrrs above": 0x804020F3,
    "csrrs of mcause": 0x342020F3,
    "csrrw with bit 31 off": isa.csrrw(isa.FUEL, 1) & 0x7FFFFFFF,
    "csrrc": 0x800030F3,
    "csrrwi": 0x80005073,
    "csrrsi": 0x800060F3,
    "csrrci": 0x800070F3,
    "system funct3 4": 0x80004073,
    "ecall with rd": 0x000000F3,
    "ecall with rs1": 0x00008073,
    "compressed": 0x00004501,
    "custom-0": 0x0000000B,
    "jalr funct3": 0x00001067,
    "branch funct3 2": 0x00002063,
    "branch funct3 3": 0x00003063,
    "ld": 0x00003003,
    "lwu": 0x00006003,
    "sd": 0x00003023,
    "slli with bit 25": isa.slli(1, 1, 0) | 1 << 25,
    "slli with bit 30": isa.slli(1, 1, 0) | 1 << 30,
    "srai with bit 31": isa.srai(1, 1, 0) | 1 << 31,
    "add funct7 2": isa.add(1, 1, 1) | 2 << 25,
    "sll funct7 0x20": isa.sll(1, 1, 1) | 0x20 << 25,
    "mul funct7 0x21": isa.mul(1, 1, 1) | 0x20 << 25,
    "fence funct3 2": 0x0000200F,
    "addiw": 0x0000001B,
    "addw": 0x0000003B,
    "amoadd": 0x0000202F,
    "flw": 0x00002007,
    "fadd": 0x00000053,
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_words(name: str) -> None:
    with pytest.raises(IllegalInstruction, match=f"{ILLEGAL[name]:#010x}"):
        decode(ILLEGAL[name])


def test_fences_match_on_opcode_and_funct3_alone() -> None:
    for name in ("fence", "fence.i"):
        for bits in (0, 0xFFFF_FFFF):
            word = INSTRUCTIONS[name].match | bits & ~INSTRUCTIONS[name].mask
            assert decode(word).name == name


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("addi", {"imm": 2048}),
        ("addi", {"imm": -2049}),
        ("addi", {"rd": 32}),
        ("add", {"rs2": -1}),
        ("sw", {"imm": 2048}),
        ("beq", {"imm": 4096}),
        ("beq", {"imm": 3}),
        ("jal", {"imm": 1 << 20}),
        ("jal", {"imm": 1}),
        ("slli", {"imm": 32}),
        ("lui", {"imm": 1 << 20}),
        ("lui", {"imm": -1}),
        ("csrrw", {"imm": 0x7FF}),
        ("csrrs", {"imm": 0x804}),
    ],
)
def test_operands_that_do_not_fit(name: str, operands: dict[str, int]) -> None:
    with pytest.raises(isa.EncodingError):
        encode(name, **operands)
