"""RV32IM and a little of Zicsr and the privileged part: the encodings this machine knows, from one table.

Source: the RISC-V Instruction Set Manual, volume I, "RV32I", "M", "Zicsr" and the opcode listings ("RV32/64G
Instruction Set Listings"); volume II for MRET. A word is an instruction of this machine if it matches an entry of
`INSTRUCTIONS`; any other word is illegal: EBREAK, compressed and reserved encodings included. FENCE and FENCE.I match
on opcode and funct3 alone, as the manual asks of implementations that do nothing there. ECALL is the word 0x00000073
only, MRET 0x30200073 only. Of the CSR instructions there are `csrrw x0, csr, rs1` and `csrrs rd, csr, x0`, for the
four registers of `CSR_NAMES`. MRET and both of these are `PRIVILEGED`: in user mode they are illegal, too.

The functions `add`, `lw`, ... encode one instruction each, with the arguments in the order of assembly language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

LUI: Final = 0x37
AUIPC: Final = 0x17
JAL: Final = 0x6F
JALR: Final = 0x67
BRANCH: Final = 0x63
LOAD: Final = 0x03
STORE: Final = 0x23
OP_IMM: Final = 0x13
OP: Final = 0x33
MISC_MEM: Final = 0x0F
SYSTEM: Final = 0x73

OPCODES_WITHOUT_RD: Final = frozenset({BRANCH, STORE, MISC_MEM})
"""Opcodes whose instructions write no register whatever bits 11:7 are; in SYSTEM these are 0 for all but CSRRS."""

ECALL_WORD: Final = 0x0000_0073
MRET_WORD: Final = 0x3020_0073

UWIN: Final = 0x800
FUEL: Final = 0x801
EPC: Final = 0x802
CAUSE: Final = 0x803
CSR_NAMES: Final[Mapping[int, str]] = MappingProxyType({UWIN: "uwin", FUEL: "fuel", EPC: "epc", CAUSE: "cause"})
"""The control and status registers by number; each is the word of that name in `lvm.control`."""
PRIVILEGED: Final = frozenset({"csrrw", "csrrs", "mret"})
"""Instructions that exist in kernel mode only."""

Format = Literal["R", "I", "SHIFT", "S", "B", "U", "J", "FENCE", "ECALL", "CSRW", "CSRR"]
"""SHIFT is an I-type with a 5-bit amount and a funct7; FENCE uses none of its fields; ECALL and MRET ("ECALL") have
none. CSRW is `csrrw x0, csr, rs1`, CSRR is `csrrs rd, csr, x0`: the other register field must be 0."""

_MASKS: Mapping[Format, int] = {
    "R": 0xFE00_707F,
    "SHIFT": 0xFE00_707F,
    "I": 0x0000_707F,
    "S": 0x0000_707F,
    "B": 0x0000_707F,
    "FENCE": 0x0000_707F,
    "U": 0x0000_007F,
    "J": 0x0000_007F,
    "ECALL": 0xFFFF_FFFF,
    "CSRW": 0xFFC0_7FFF,
    "CSRR": 0xFFCF_F07F,
}


class IllegalInstruction(ValueError):  # noqa: N818 - the manual's name for it
    """The word is no instruction of this machine."""

    def __init__(self, word: int) -> None:
        """Name the word."""
        super().__init__(f"{word:#010x} is no instruction of this machine")
        self.word = word


class EncodingError(ValueError):
    """An operand does not fit the field of the instruction."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """One entry of the instruction listing: a word is this instruction if `word & mask == match`."""

    name: str
    format: Format
    opcode: int
    funct3: int = 0
    funct7: int = 0
    rs2: int = 0
    """Bits 24:20 where the instruction fixes them."""

    @property
    def mask(self) -> int:
        """The bits that decide."""
        return _MASKS[self.format]

    @property
    def match(self) -> int:
        """Their values."""
        return self.opcode | self.funct3 << 12 | self.rs2 << 20 | self.funct7 << 25


def _family(layout: Format, opcode: int, *names: tuple[str, int, int]) -> list[Encoding]:
    return [Encoding(name, layout, opcode, funct3, funct7) for name, funct3, funct7 in names]


_TABLE: list[Encoding] = [
    Encoding("lui", "U", LUI),
    Encoding("auipc", "U", AUIPC),
    Encoding("jal", "J", JAL),
    Encoding("jalr", "I", JALR),
    *_family(
        "B",
        BRANCH,
        *(("beq", 0, 0), ("bne", 1, 0), ("blt", 4, 0), ("bge", 5, 0), ("bltu", 6, 0), ("bgeu", 7, 0)),
    ),
    *_family("I", LOAD, ("lb", 0, 0), ("lh", 1, 0), ("lw", 2, 0), ("lbu", 4, 0), ("lhu", 5, 0)),
    *_family("S", STORE, ("sb", 0, 0), ("sh", 1, 0), ("sw", 2, 0)),
    *_family(
        "I",
        OP_IMM,
        *(("addi", 0, 0), ("slti", 2, 0), ("sltiu", 3, 0), ("xori", 4, 0), ("ori", 6, 0), ("andi", 7, 0)),
    ),
    *_family("SHIFT", OP_IMM, ("slli", 1, 0), ("srli", 5, 0), ("srai", 5, 0x20)),
    *_family(
        "R",
        OP,
        *(("add", 0, 0), ("sub", 0, 0x20), ("sll", 1, 0), ("slt", 2, 0), ("sltu", 3, 0)),
        *(("xor", 4, 0), ("srl", 5, 0), ("sra", 5, 0x20), ("or", 6, 0), ("and", 7, 0)),
        *(("mul", 0, 1), ("mulh", 1, 1), ("mulhsu", 2, 1), ("mulhu", 3, 1)),
        *(("div", 4, 1), ("divu", 5, 1), ("rem", 6, 1), ("remu", 7, 1)),
    ),
    *_family("FENCE", MISC_MEM, ("fence", 0, 0), ("fence.i", 1, 0)),
    Encoding("ecall", "ECALL", SYSTEM),
    Encoding("csrrw", "CSRW", SYSTEM, 1, UWIN >> 5),
    Encoding("csrrs", "CSRR", SYSTEM, 2, UWIN >> 5),
    Encoding("mret", "ECALL", SYSTEM, 0, MRET_WORD >> 25, MRET_WORD >> 20 & 31),
]

INSTRUCTIONS: Mapping[str, Encoding] = MappingProxyType({entry.name: entry for entry in _TABLE})
"""Every instruction of the machine by name."""

_BY_OPCODE: dict[int, list[Encoding]] = {}
for _entry in _TABLE:
    _BY_OPCODE.setdefault(_entry.opcode, []).append(_entry)


@dataclass(frozen=True, slots=True)
class Instruction:
    """A decoded word.

    `rd`, `rs1`, `rs2`, `funct3` and `funct7` are the raw bit fields, whether the format uses them or not. `imm` is
    the immediate as a signed integer; for U-types it is the unsigned word with its low 12 bits zero, for shifts the
    amount 0..31, for CSR instructions the register's number, and 0 for formats without one.
    """

    name: str
    opcode: int
    rd: int
    rs1: int
    rs2: int
    funct3: int
    funct7: int
    imm: int


def sign_extend(value: int, bits: int) -> int:
    """Read the low `bits` bits of `value` as a two's complement number."""
    sign = 1 << (bits - 1)
    return (value & (sign - 1)) - (value & sign)


def _immediate(layout: Format, word: int) -> int:
    """Gather the immediate of a word (manual, "Immediate Encoding Variants")."""
    value = 0
    match layout:
        case "I":
            value = sign_extend(word >> 20, 12)
        case "S":
            value = sign_extend(word >> 25 << 5 | word >> 7 & 0x1F, 12)
        case "B":
            high = word >> 31 << 12 | (word >> 7 & 1) << 11
            value = sign_extend(high | (word >> 25 & 0x3F) << 5 | (word >> 8 & 0xF) << 1, 13)
        case "U":
            value = word & 0xFFFF_F000
        case "J":
            high = word >> 31 << 20 | (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11
            value = sign_extend(high | (word >> 21 & 0x3FF) << 1, 21)
        case "SHIFT":
            value = word >> 20 & 0x1F
        case "CSRW" | "CSRR":
            value = word >> 20
    return value


def encoding_of(word: int) -> Encoding | None:
    """Find the entry of the listing that a 32-bit word matches; None for an illegal word."""
    for entry in _BY_OPCODE.get(word & 0x7F, ()):
        if word & entry.mask == entry.match:
            return entry
    return None


@lru_cache(maxsize=1 << 16)
def decode(word: int) -> Instruction:
    """Decode a 32-bit word; raises IllegalInstruction."""
    entry = encoding_of(word)
    if entry is None:
        raise IllegalInstruction(word)
    return Instruction(
        name=entry.name,
        opcode=entry.opcode,
        rd=word >> 7 & 31,
        rs1=word >> 15 & 31,
        rs2=word >> 20 & 31,
        funct3=word >> 12 & 7,
        funct7=word >> 25,
        imm=_immediate(entry.format, word),
    )


def _register_field(name: str, value: int) -> int:
    if not 0 <= value < 32:
        raise EncodingError(f"{name} must be a register number 0..31, got {value}")
    return value


def _range(name: str, value: int, low: int, high: int, step: int = 1) -> int:
    if not low <= value <= high or value % step:
        raise EncodingError(f"{name} must be a multiple of {step} in {low}..{high}, got {value}")
    return value


def encode(name: str, *, rd: int = 0, rs1: int = 0, rs2: int = 0, imm: int = 0) -> int:
    """Encode the instruction `name` to a 32-bit word; operands that its format does not have are ignored.

    `imm` is the signed immediate (branches and jumps: the byte offset), the shift amount, for U-types the upper 20
    bits as 0..0xFFFFF, or the number of the CSR. Raises KeyError for an unknown name and EncodingError where an operand
    does not fit.
    """
    entry = INSTRUCTIONS[name]
    word = entry.match
    layout = entry.format
    if layout in ("R", "I", "SHIFT", "U", "J", "CSRR"):
        word |= _register_field("rd", rd) << 7
    if layout in ("R", "I", "SHIFT", "S", "B", "CSRW"):
        word |= _register_field("rs1", rs1) << 15
    if layout in ("R", "S", "B"):
        word |= _register_field("rs2", rs2) << 20
    return word | _immediate_bits(layout, imm)


def _immediate_bits(layout: Format, imm: int) -> int:
    """Spread an immediate over the bits of a word; the inverse of `_immediate`. Raises EncodingError."""
    bits = 0
    match layout:
        case "I":
            bits = (_range("imm", imm, -2048, 2047) & 0xFFF) << 20
        case "S":
            value = _range("imm", imm, -2048, 2047) & 0xFFF
            bits = value >> 5 << 25 | (value & 0x1F) << 7
        case "B":
            value = _range("offset", imm, -4096, 4094, 2) & 0x1FFF
            bits = value >> 12 << 31 | (value >> 5 & 0x3F) << 25 | (value >> 1 & 0xF) << 8 | (value >> 11 & 1) << 7
        case "U":
            bits = _range("imm", imm, 0, 0xFFFFF) << 12
        case "J":
            value = _range("offset", imm, -(1 << 20), (1 << 20) - 2, 2) & 0x1FFFFF
            bits = value >> 20 << 31 | (value >> 12 & 0xFF) << 12
            bits |= (value >> 11 & 1) << 20 | (value >> 1 & 0x3FF) << 21
        case "SHIFT":
            bits = _range("shift amount", imm, 0, 31) << 20
        case "CSRW" | "CSRR":
            bits = _range("csr", imm, UWIN, CAUSE) << 20
    return bits


def _r(name: str) -> Callable[[int, int, int], int]:
    """Assembler function `name rd, rs1, rs2`."""
    return lambda rd, rs1, rs2: encode(name, rd=rd, rs1=rs1, rs2=rs2)


def _i(name: str) -> Callable[[int, int, int], int]:
    """Assembler function `name rd, rs1, imm`; loads: `name rd, imm(rs1)` with the base before the offset."""
    return lambda rd, rs1, imm: encode(name, rd=rd, rs1=rs1, imm=imm)


def _s(name: str) -> Callable[[int, int, int], int]:
    """Assembler function `name rs2, imm(rs1)`: the value, the base, the offset."""
    return lambda rs2, rs1, imm: encode(name, rs1=rs1, rs2=rs2, imm=imm)


def _b(name: str) -> Callable[[int, int, int], int]:
    """Assembler function `name rs1, rs2, offset`."""
    return lambda rs1, rs2, offset: encode(name, rs1=rs1, rs2=rs2, imm=offset)


def _u(name: str) -> Callable[[int, int], int]:
    """Assembler function `name rd, imm` (upper 20 bits; for jal the byte offset)."""
    return lambda rd, imm: encode(name, rd=rd, imm=imm)


lui, auipc, jal, jalr = _u("lui"), _u("auipc"), _u("jal"), _i("jalr")
beq, bne, blt, bge, bltu, bgeu = _b("beq"), _b("bne"), _b("blt"), _b("bge"), _b("bltu"), _b("bgeu")
lb, lh, lw, lbu, lhu = _i("lb"), _i("lh"), _i("lw"), _i("lbu"), _i("lhu")
sb, sh, sw = _s("sb"), _s("sh"), _s("sw")
addi, slti, sltiu, xori, ori, andi = _i("addi"), _i("slti"), _i("sltiu"), _i("xori"), _i("ori"), _i("andi")
slli, srli, srai = _i("slli"), _i("srli"), _i("srai")
add, sub, sll, slt, sltu = _r("add"), _r("sub"), _r("sll"), _r("slt"), _r("sltu")
xor, srl, sra, or_, and_ = _r("xor"), _r("srl"), _r("sra"), _r("or"), _r("and")
mul, mulh, mulhsu, mulhu = _r("mul"), _r("mulh"), _r("mulhsu"), _r("mulhu")
div, divu, rem, remu = _r("div"), _r("divu"), _r("rem"), _r("remu")


def fence() -> int:
    """Encode `fence iorw, iorw`, which does nothing here."""
    return INSTRUCTIONS["fence"].match | 0xFF << 20


def fence_i() -> int:
    """Encode `fence.i`, which does nothing here."""
    return INSTRUCTIONS["fence.i"].match


def ecall() -> int:
    """Encode `ecall`: in kernel mode, halt with exit code a0; in user mode, trap."""
    return ECALL_WORD


def csrrw(csr: int, rs1: int) -> int:
    """Encode `csrrw x0, csr, rs1`: write a CSR (assembler's `csrw csr, rs1`)."""
    return encode("csrrw", rs1=rs1, imm=csr)


def csrrs(rd: int, csr: int) -> int:
    """Encode `csrrs rd, csr, x0`: read a CSR (assembler's `csrr rd, csr`)."""
    return encode("csrrs", rd=rd, imm=csr)


def mret() -> int:
    """Encode `mret`: go on at epc in the window `uwin`."""
    return MRET_WORD
