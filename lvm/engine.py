"""The kernels of the fast engine, compiled by Numba: the interpreter loop and the hashing of the state tree.

Guarantees: `run` takes exactly the number of steps asked for unless a step halts the machine, and each step means
what `lvm.spec` says, in kernel and in user mode; no kernel holds the interpreter lock. It is assumed that the control
word `window` has only bits of WINDOW_MASK, as in every state that a program can reach.

All kernels live in this one file because Numba keys its on-disk cache by file; it does not see a change of the
constants imported from elsewhere, so whoever changes `lvm.layout`, `lvm.control` or `lvm.outcome` touches this file
too.

Memory is one flat array of 2^28 words. The interpreter does not decode an instruction each time: `code[i]` holds
the word at byte address 4 i in unpacked form, or 0 where it has not been decoded yet:

    bits 0..5 operation | 6..7 tag | 8..15 rd | 16..23 rs1 | 24..31 rs2 | 32..63 immediate

The loop is compiled twice from one source, for kernel and for user mode, where pc and addresses are physical inside
the loop and as the program sees them outside. The unpacked form depends on the mode, and, since windows are aligned to
their size, on nothing else: the tag says which it is. Windows side by side have different tags, so that straight code
that runs over the end of its window meets a tag that is not its own. A word whose tag is another is decoded again.

While `run` runs, the registers are in an array of their own. Register x0 as a destination is turned into index 32, a
33rd word that nobody reads, so no instruction has to ask.
Immediates of AUIPC, JAL and branches are absolute. What can only be known to be wrong when it is executed (a jump to a
misaligned address or out of what may be fetched) gets an operation of its own, so the ordinary jump checks nothing.

Each leaf has a byte of flags: DIRTY if its hash in the tree is out of date (it is then also in the list `dirty`),
CODE if a word of it has been decoded. A store to a leaf that is DIRTY and not CODE needs no bookkeeping; any other
store takes the longer way, which drops the decoded form of the word stored to: self-modifying code needs no fence.

Hashing: BLAKE3 (section 2 of its paper) of at most 64 bytes is one compression with the flags CHUNK_START, CHUNK_END
and ROOT. `hash_blocks` lays 16 blocks side by side, word by word, so that LLVM turns the loop over them into vector
instructions.
"""

# An interpreter loop has a branch for each operation, a kernel takes its arrays one by one, and Numba makes a switch of
# `a == b or a == c` but not of `a in (b, c)`.
# ruff: noqa: PLR0912, PLR0915, PLR0917, PLR1714, SIM109

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

from lvm import isa
from lvm.control import (
    CAUSE_ADDRESS,
    CSR_ADDRESS,
    EPC_ADDRESS,
    EXIT_ADDRESS,
    FUEL_ADDRESS,
    HALTED_ADDRESS,
    PC_ADDRESS,
    UWIN_ADDRESS,
    WINDOW_ADDRESS,
)
from lvm.layout import (
    FETCH_END,
    HASH_BYTES,
    LEAF_WORDS,
    LOAD_END,
    REGISTERS_BASE,
    STORE_END,
    TRAP_VECTOR,
    USER_BYTES,
    WINDOW_MASK,
    WORD_BYTES,
)
from lvm.outcome import CAUSE, HALTED_BY_ECALL, HALTED_BY_FAULT, Outcome

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Words = npt.NDArray[np.uint32]
Longs = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

# Flags of a leaf.
DIRTY: Final = 1
CODE: Final = 2

# Words of `cursor`, through which `run` gives back what is no part of the state.
DIRTY_COUNT: Final = 0
LAST_OUTCOME: Final = 1
CODE_CHANGES: Final = 2
"""Counts the times that something decoded was dropped: a translation made before is out of date."""
CURSOR_WORDS: Final = 3

SINK: Final = 32
REGISTER_WORDS: Final = 33

# fmt: off
# Operations. Order does not matter to the meaning; 0 is "not decoded yet".
(UNDECODED, CONST, JAL, JALR, BEQ, BNE, BLT, BGE, BLTU, BGEU, LB, LH, LW, LBU, LHU, SB, SH, SW,
 ADDI, SLTI, SLTIU, XORI, ORI, ANDI, SLLI, SRLI, SRAI,
 ADD, SUB, SLL, SLT, SLTU, XOR, SRL, SRA, OR, AND,
 MUL, MULH, MULHSU, MULHU, DIV, DIVU, REM, REMU,
 FENCE, ECALL, ILLEGAL, FAR_JAL, FAR_BRANCH, CSRW, CSRR, MRET) = range(53)
# fmt: on
OPERATION: Final = 63
"""Bits of the operation. Tags are added to it."""
EVEN_WINDOW: Final = 64
ODD_WINDOW: Final = 128

LOADS: Final = (LB, LH, LW, ILLEGAL, LBU, LHU, ILLEGAL, ILLEGAL)
STORES: Final = (SB, SH, SW, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL)
BRANCHES: Final = (BEQ, BNE, ILLEGAL, ILLEGAL, BLT, BGE, BLTU, BGEU)
IMMEDIATES: Final = (ADDI, SLLI, SLTI, SLTIU, XORI, SRLI, ORI, ANDI)
BASE: Final = (ADD, SLL, SLT, SLTU, XOR, SRL, OR, AND)
MULDIV: Final = (MUL, MULH, MULHSU, MULHU, DIV, DIVU, REM, REMU)
JUMPS: Final = (JAL, JALR, BEQ, BNE, BLT, BGE, BLTU, BGEU)
ENDS_OF_STRAIGHT_CODE: Final = (*JUMPS, UNDECODED, ECALL, ILLEGAL, FAR_JAL, FAR_BRANCH, MRET)

RETIRE: Final = int(Outcome.RETIRE)
PC_MISALIGNED: Final = int(Outcome.PC_MISALIGNED)
FETCH_FAULT: Final = int(Outcome.FETCH_FAULT)
ILLEGAL_WORD: Final = int(Outcome.ILLEGAL)
ENVIRONMENT_CALL: Final = int(Outcome.ECALL)
TARGET_MISALIGNED: Final = int(Outcome.TARGET_MISALIGNED)
LOAD_MISALIGNED: Final = int(Outcome.LOAD_MISALIGNED)
LOAD_FAULT: Final = int(Outcome.LOAD_FAULT)
STORE_MISALIGNED: Final = int(Outcome.STORE_MISALIGNED)
STORE_FAULT: Final = int(Outcome.STORE_FAULT)
NO_FUEL: Final = int(Outcome.FUEL)
CAUSES: Final = tuple(CAUSE.get(outcome, 0) for outcome in Outcome)
RETURNED: Final = len(Outcome)
"""Inside the loop: MRET, an instruction that completes but ends the loop."""

FIRST_REGISTER: Final = REGISTERS_BASE // WORD_BYTES
PC, WINDOW, FUEL, EPC, CAUSE_WORD, UWIN, HALTED, EXIT_CODE = (
    address // WORD_BYTES
    for address in (
        *(PC_ADDRESS, WINDOW_ADDRESS, FUEL_ADDRESS, EPC_ADDRESS, CAUSE_ADDRESS, UWIN_ADDRESS),
        *(HALTED_ADDRESS, EXIT_ADDRESS),
    )
)
CSR_WORDS: Final = tuple(CSR_ADDRESS[csr] // WORD_BYTES for csr in sorted(CSR_ADDRESS))
FIRST_CSR: Final = min(isa.CSR_NAMES)
A0: Final = 10


class Arrays(NamedTuple):
    """What the kernels work on, in the order of their arguments."""

    memory: Words
    """The 2^28 words of the state."""
    code: Longs
    """2^28 decoded instructions."""
    flags: Bytes
    """A byte for each of the 2^24 leaves."""
    dirty: Words
    """Room for the number of every leaf."""
    cursor: Longs
    """CURSOR_WORDS words."""


u32, u64, i32, i64 = np.uint32, np.uint64, np.int32, np.int64


def kernel(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile at the first call, then from the cache on disk; no interpreter lock, no exception on division."""
    compiled: Callable[Parameters, Result] = njit(nogil=True, cache=True, error_model="numpy")(function)
    return compiled


def inlined(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile as part of the kernel that calls it: what has to end up inside a vector loop."""
    compiled: Callable[Parameters, Result] = njit(nogil=True, cache=True, error_model="numpy", forceinline=True)(
        function
    )
    return compiled


@kernel
def decode(word: Any, index: Any, window: Any) -> Any:
    """Unpack the instruction `word` at byte address 4 * index; see the module's head for the form.

    `window` is 0 for kernel mode; the tag is left to the caller.
    """
    word, base = i64(word), i64(window)
    pc = (i64(index) << 2) - base
    end = FETCH_END if base == 0 else USER_BYTES
    opcode, rd, funct3 = word & 0x7F, word >> 7 & 31, word >> 12 & 7
    rs1, rs2, funct7 = word >> 15 & 31, word >> 20 & 31, word >> 25
    if rd == 0:
        rd = SINK
    operation, imm = ILLEGAL, i64(i32(word)) >> 20
    if opcode == 0x37:
        operation, imm = CONST, word & 0xFFFFF000
    elif opcode == 0x17:
        operation, imm = CONST, pc + (word & 0xFFFFF000)
    elif opcode == 0x6F:
        offset = (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1
        imm = (pc + offset - ((word >> 31) << 20)) & 0xFFFFFFFF
        operation = FAR_JAL if imm & 3 != 0 or imm >= end else JAL
    elif opcode == 0x67 and funct3 == 0:
        operation = JALR
    elif opcode == 0x63:
        operation = BRANCHES[funct3]
        offset = (word >> 7 & 1) << 11 | (word >> 25 & 0x3F) << 5 | (word >> 8 & 0xF) << 1
        imm = (pc + offset - ((word >> 31) << 12)) & 0xFFFFFFFF
        if operation != ILLEGAL and (imm & 3 != 0 or imm >= end):
            operation, rd = FAR_BRANCH, funct3
    elif opcode == 0x03:
        operation = LOADS[funct3]
    elif opcode == 0x23:
        operation = STORES[funct3]
        imm = (imm & ~31) | (word >> 7 & 31)
    elif opcode == 0x13:
        operation = IMMEDIATES[funct3]
        if funct3 & 3 == 1:
            imm = rs2
            if funct3 == 5 and funct7 == 0x20:
                operation = SRAI
            elif funct7 != 0:
                operation = ILLEGAL
    elif opcode == 0x33:
        if funct7 == 0:
            operation = BASE[funct3]
        elif funct7 == 1:
            operation = MULDIV[funct3]
        elif funct7 == 0x20 and funct3 == 0:
            operation = SUB
        elif funct7 == 0x20 and funct3 == 5:
            operation = SRA
    elif opcode == 0x0F and funct3 <= 1:
        operation = FENCE
    elif word == isa.ECALL_WORD:
        operation = ECALL
    elif base == 0 and opcode == 0x73:
        if word == isa.MRET_WORD:
            operation = MRET
        elif word >> 22 == FIRST_CSR >> 2 and funct3 == 1 and rd == SINK:
            operation, imm = CSRW, i64(CSR_WORDS[word >> 20 & 3])
        elif word >> 22 == FIRST_CSR >> 2 and funct3 == 2 and rs1 == 0:
            operation, imm = CSRR, i64(CSR_WORDS[word >> 20 & 3])
    if operation == JAL or (operation >= BEQ and operation <= BGEU):
        imm += base
    return u64(operation) | u64(rd) << u64(8) | u64(rs1) << u64(16) | u64(rs2) << u64(24) | u64(u32(imm)) << u64(32)


@kernel
def branch_taken(funct3: Any, left: Any, right: Any) -> Any:
    """Whether the branch with this funct3 is taken for two register words."""
    if funct3 == 0:
        return left == right
    if funct3 == 1:
        return left != right
    if funct3 == 4:
        return i32(left) < i32(right)
    if funct3 == 5:
        return i32(left) >= i32(right)
    if funct3 == 6:
        return left < right
    return left >= right


@kernel
def divide(left: Any, right: Any) -> Any:
    """DIV and REM of two register words (manual, table "Semantics for division by zero and overflow")."""
    dividend, divisor = i64(i32(left)), i64(i32(right))
    if divisor == 0:
        return u32(0xFFFFFFFF), left
    quotient = u64(abs(dividend)) // u64(abs(divisor))
    remainder = u64(abs(dividend)) % u64(abs(divisor))
    signed_quotient = -i64(quotient) if (dividend < 0) != (divisor < 0) else i64(quotient)
    signed_remainder = -i64(remainder) if dividend < 0 else i64(remainder)
    return u32(signed_quotient), u32(signed_remainder)


@kernel
def touch(word: Any, code: Longs, flags: Bytes, dirty: Words, cursor: Longs) -> None:
    """Do the bookkeeping of a change of the word number `word`."""
    leaf = word >> u64(4)
    flag = flags[leaf]
    if flag & CODE and code[word] != 0:
        code[word] = 0
        cursor[CODE_CHANGES] += u64(1)
    if flag & DIRTY == 0:
        flags[leaf] = flag | DIRTY
        dirty[cursor[DIRTY_COUNT]] = leaf
        cursor[DIRTY_COUNT] += u64(1)


@kernel
def forget_code(first: int, end: int, code: Longs, flags: Bytes, cursor: Longs) -> None:
    """Drop what was decoded of the leaves first..end - 1."""
    for leaf in range(first, end):
        if flags[leaf] & CODE:
            flags[leaf] ^= CODE
            cursor[CODE_CHANGES] += u64(1)
            code[leaf * LEAF_WORDS : (leaf + 1) * LEAF_WORDS] = 0


@kernel
def touch_leaves(first: int, end: int, code: Longs, flags: Bytes, dirty: Words, cursor: Longs) -> None:
    """Do the bookkeeping of a change of the leaves first..end - 1."""
    forget_code(first, end, code, flags, cursor)
    for leaf in range(first, end):
        touch(u64(leaf * LEAF_WORDS), code, flags, dirty, cursor)


@kernel
def update_word(word: int, value: Any, memory: Words, code: Longs, flags: Bytes, dirty: Words, cursor: Longs) -> None:
    """Set the word number `word`; a word that has the value already is left alone."""
    if memory[word] != value:
        memory[word] = value
        touch(u64(word), code, flags, dirty, cursor)


def _make_loop(user: bool) -> Callable[..., Any]:
    """Return the interpreter loop of one mode; the mode is a constant where it is compiled."""

    @kernel
    def loop(memory: Words, code: Longs, flags: Bytes, dirty: Words, cursor: Longs, steps: int) -> Any:
        bytes_u, bytes_s = memory.view(np.uint8), memory.view(np.int8)
        halves_u, halves_s = memory.view(np.uint16), memory.view(np.int16)
        x = np.empty(REGISTER_WORDS, np.uint32)
        for register in range(32):
            x[register] = memory[FIRST_REGISTER + register]
        pc = u64(memory[PC])
        outcome = RETIRE
        left, unfunded = u64(steps), u64(0)
        window, tag = u64(0), 0
        fetch_end, load_end, store_end = u64(FETCH_END), u64(LOAD_END), u64(STORE_END)
        if user:
            window = u64(memory[WINDOW])
            tag = ODD_WINDOW if window & u64(USER_BYTES) != 0 else EVEN_WINDOW
            fetch_end = u64(USER_BYTES) if window < FETCH_END else u64(0)
            load_end = u64(USER_BYTES) if window < LOAD_END else u64(0)
            store_end = u64(USER_BYTES) if window < STORE_END else u64(0)
            if memory[FUEL] == 0:
                outcome = NO_FUEL
            elif left > memory[FUEL]:
                unfunded = left - memory[FUEL]
                left -= unfunded
        while left != 0:
            if outcome == NO_FUEL:
                left -= u64(1)
                break
            if pc & u64(3) != 0:
                outcome = PC_MISALIGNED
            elif pc >= fetch_end:
                outcome = FETCH_FAULT
            index, strayed = (window + pc) >> u64(2), False
            while left != 0 and outcome == RETIRE:
                packed = code[index]
                operation = i64(packed & u64(0xFF)) ^ tag
                rd = packed >> u64(8) & u64(0xFF)
                a = x[packed >> u64(16) & u64(0xFF)]
                b = x[packed >> u64(24) & u64(0xFF)]
                imm = u32(packed >> u64(32))
                following = index + u64(1)
                if operation == ADDI:
                    x[rd] = u32(a + imm)
                elif operation == ADD:
                    x[rd] = u32(a + b)
                elif operation == BNE:
                    if a != b:
                        following = u64(imm >> u32(2))
                elif operation == BEQ:
                    if a == b:
                        following = u64(imm >> u32(2))
                elif operation == BLTU:
                    if a < b:
                        following = u64(imm >> u32(2))
                elif operation == BGEU:
                    if a >= b:
                        following = u64(imm >> u32(2))
                elif operation == BLT:
                    if i32(a) < i32(b):
                        following = u64(imm >> u32(2))
                elif operation == BGE:
                    if i32(a) >= i32(b):
                        following = u64(imm >> u32(2))
                elif operation == LW:
                    address = u64(u32(a + imm))
                    if address & u64(3) != 0:
                        outcome = LOAD_MISALIGNED
                        continue
                    if address >= load_end:
                        outcome = LOAD_FAULT
                        continue
                    address += window
                    x[rd] = memory[address >> u64(2)]
                elif operation == LBU or operation == LB:
                    address = u64(u32(a + imm))
                    if address >= load_end:
                        outcome = LOAD_FAULT
                        continue
                    address += window
                    x[rd] = u32(bytes_u[address]) if operation == LBU else u32(i32(bytes_s[address]))
                elif operation == LHU or operation == LH:
                    address = u64(u32(a + imm))
                    if address & u64(1) != 0:
                        outcome = LOAD_MISALIGNED
                        continue
                    if address >= load_end:
                        outcome = LOAD_FAULT
                        continue
                    address += window
                    half = address >> u64(1)
                    x[rd] = u32(halves_u[half]) if operation == LHU else u32(i32(halves_s[half]))
                elif operation == SW:
                    address = u64(u32(a + imm))
                    if address & u64(3) != 0:
                        outcome = STORE_MISALIGNED
                        continue
                    if address >= store_end:
                        outcome = STORE_FAULT
                        continue
                    address += window
                    memory[address >> u64(2)] = b
                    if flags[address >> u64(6)] != DIRTY:
                        touch(address >> u64(2), code, flags, dirty, cursor)
                elif operation == SB:
                    address = u64(u32(a + imm))
                    if address >= store_end:
                        outcome = STORE_FAULT
                        continue
                    address += window
                    bytes_u[address] = b & u32(0xFF)
                    if flags[address >> u64(6)] != DIRTY:
                        touch(address >> u64(2), code, flags, dirty, cursor)
                elif operation == SH:
                    address = u64(u32(a + imm))
                    if address & u64(1) != 0:
                        outcome = STORE_MISALIGNED
                        continue
                    if address >= store_end:
                        outcome = STORE_FAULT
                        continue
                    address += window
                    halves_u[address >> u64(1)] = b & u32(0xFFFF)
                    if flags[address >> u64(6)] != DIRTY:
                        touch(address >> u64(2), code, flags, dirty, cursor)
                elif operation == CONST:
                    x[rd] = imm
                elif operation == JAL:
                    x[rd] = u32((following << u64(2)) - window)
                    following = u64(imm >> u32(2))
                elif operation == JALR:
                    target = u64(u32(a + imm) & u32(0xFFFFFFFE))
                    if target & u64(2) != 0:
                        outcome = TARGET_MISALIGNED
                        continue
                    x[rd] = u32((following << u64(2)) - window)
                    following = (window + target) >> u64(2)
                    if target >= fetch_end:
                        pc, strayed = target, True
                        left -= u64(1)
                        break
                elif operation == SUB:
                    x[rd] = u32(a - b)
                elif operation == SLLI:
                    x[rd] = u32(u64(a) << u64(imm))
                elif operation == SRLI:
                    x[rd] = a >> imm
                elif operation == SRAI:
                    x[rd] = u32(i64(i32(a)) >> i64(imm))
                elif operation == ANDI:
                    x[rd] = a & imm
                elif operation == ORI:
                    x[rd] = a | imm
                elif operation == XORI:
                    x[rd] = a ^ imm
                elif operation == SLTI:
                    x[rd] = u32(i32(a) < i32(imm))
                elif operation == SLTIU:
                    x[rd] = u32(a < imm)
                elif operation == AND:
                    x[rd] = a & b
                elif operation == OR:
                    x[rd] = a | b
                elif operation == XOR:
                    x[rd] = a ^ b
                elif operation == SLL:
                    x[rd] = u32(u64(a) << u64(b & u32(31)))
                elif operation == SRL:
                    x[rd] = a >> (b & u32(31))
                elif operation == SRA:
                    x[rd] = u32(i64(i32(a)) >> i64(b & u32(31)))
                elif operation == SLT:
                    x[rd] = u32(i32(a) < i32(b))
                elif operation == SLTU:
                    x[rd] = u32(a < b)
                elif operation == MUL:
                    x[rd] = u32(u64(a) * u64(b))
                elif operation == MULH:
                    x[rd] = u32(i64(i32(a)) * i64(i32(b)) >> 32)
                elif operation == MULHSU:
                    x[rd] = u32(i64(i32(a)) * i64(b) >> 32)
                elif operation == MULHU:
                    x[rd] = u32(u64(a) * u64(b) >> u64(32))
                elif operation == DIV:
                    x[rd] = divide(a, b)[0]
                elif operation == REM:
                    x[rd] = divide(a, b)[1]
                elif operation == DIVU:
                    x[rd] = u32(0xFFFFFFFF) if b == 0 else u32(u64(a) // u64(b))
                elif operation == REMU:
                    x[rd] = a if b == 0 else u32(u64(a) % u64(b))
                elif operation == UNDECODED or (user and operation > OPERATION):
                    if index >= (window + fetch_end) >> u64(2):
                        break
                    code[index] = decode(memory[index], index, window) ^ u64(tag)
                    flags[index >> u64(4)] |= CODE
                    continue
                elif operation == FAR_JAL or operation == FAR_BRANCH:
                    if operation == FAR_JAL or branch_taken(rd, a, b):
                        if imm & u32(3) != 0:
                            outcome = TARGET_MISALIGNED
                            continue
                        if operation == FAR_JAL:
                            x[rd] = u32((following << u64(2)) - window)
                        pc, strayed = u64(imm), True
                        left -= u64(1)
                        break
                elif operation == ECALL:
                    outcome = ENVIRONMENT_CALL
                    continue
                elif operation == ILLEGAL:
                    outcome = ILLEGAL_WORD
                    continue
                elif not user and operation == CSRR:
                    x[rd] = memory[imm]
                elif not user and operation == CSRW:
                    kept = u32(WINDOW_MASK) if imm == UWIN else u32(0xFFFFFFFF)
                    memory[imm] = a & kept
                elif not user and operation == MRET:
                    outcome = RETURNED
                    continue
                elif (
                    operation > OPERATION
                ):  # decoded for user mode; in two rounds, so that 0 stays a case of the switch
                    code[index] = u64(UNDECODED)
                    continue
                index = following
                left -= u64(1)
            if not strayed:
                pc = pc if outcome == PC_MISALIGNED or outcome == FETCH_FAULT else (index << u64(2)) - window
            if outcome != RETIRE:
                left -= u64(1)
                break
        for register in range(32):
            update_word(FIRST_REGISTER + register, x[register], memory, code, flags, dirty, cursor)
        taken = u64(steps) - unfunded - left
        if user and outcome != NO_FUEL:
            update_word(FUEL, u32(memory[FUEL] - taken), memory, code, flags, dirty, cursor)
        if outcome == RETURNED:
            outcome = RETIRE
            pc = u64(memory[EPC])
            update_word(WINDOW, memory[UWIN], memory, code, flags, dirty, cursor)
        elif user and outcome != RETIRE:
            update_word(EPC, u32(pc), memory, code, flags, dirty, cursor)
            update_word(CAUSE_WORD, u32(CAUSES[outcome]), memory, code, flags, dirty, cursor)
            update_word(WINDOW, u32(0), memory, code, flags, dirty, cursor)
            pc = u64(TRAP_VECTOR)
        elif outcome == ENVIRONMENT_CALL:
            update_word(HALTED, u32(HALTED_BY_ECALL), memory, code, flags, dirty, cursor)
            update_word(EXIT_CODE, x[A0], memory, code, flags, dirty, cursor)
        elif outcome != RETIRE:
            update_word(HALTED, u32(HALTED_BY_FAULT), memory, code, flags, dirty, cursor)
            update_word(EXIT_CODE, u32(CAUSES[outcome]), memory, code, flags, dirty, cursor)
        memory[PC] = u32(pc)
        touch(u64(PC), code, flags, dirty, cursor)
        cursor[LAST_OUTCOME] = outcome
        return i64(taken)

    return loop


run_kernel_mode = _make_loop(user=False)
"""Take at most `steps` steps in kernel mode, up to the first that halts the machine or is MRET; return how many."""
run_user_mode = _make_loop(user=True)
"""Take at most `steps` steps in user mode, up to the last for which there is fuel or the first that traps."""


@kernel
def run(memory: Words, code: Longs, flags: Bytes, dirty: Words, cursor: Longs, steps: int) -> Any:
    """Take at most `steps` steps, in whatever mode; return how many were taken, a halting one included.

    The machine must not be halted. The arrays are those of `Arrays`. cursor[LAST_OUTCOME] becomes the outcome of the
    last step.
    """
    taken = i64(0)
    while taken < steps and memory[HALTED] == 0:
        if memory[WINDOW] == 0:
            taken += run_kernel_mode(memory, code, flags, dirty, cursor, steps - taken)
        else:
            taken += run_user_mode(memory, code, flags, dirty, cursor, steps - taken)
    return taken


@kernel
def steps_to_jump(memory: Words, code: Longs) -> Any:
    """Return how many steps from here on come before the next block: up to a jump, taken or not, and it included.

    At least 1. Counts decoded instructions of kernel mode only: what comes after one that halts or is not decoded is
    not known.
    """
    pc = u64(memory[PC])
    steps = 0
    if memory[WINDOW] == 0 and pc & u64(3) == 0 and pc < FETCH_END:
        operation = i64(code[pc >> u64(2)] & u64(0xFF))
        while operation <= OPERATION and operation not in ENDS_OF_STRAIGHT_CODE:
            steps += 1
            operation = i64(code[(pc >> u64(2)) + u64(steps)] & u64(0xFF))
    return steps + 1


LANES: Final = 16
SINGLE_BLOCK: Final = 1 | 2 | 8
"""CHUNK_START, CHUNK_END, ROOT."""
HASH_WORDS: Final = HASH_BYTES // WORD_BYTES
IV: Final = tuple(
    np.uint32(word)
    for word in (
        *(0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A),
        *(0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19),
    )
)


@inlined
def rotate_right(x: Any, amount: Any) -> Any:
    """Rotate a 32-bit word; each part is cut to 32 bits or LLVM would work on 64-bit lanes."""
    return u32(u32(x >> u32(amount)) | u32(x << u32(32 - amount)))


@inlined
def mix(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any) -> Any:
    """BLAKE3's quarter-round G."""
    a = u32(a + b + x)
    d = rotate_right(u32(d ^ a), 16)
    c = u32(c + d)
    b = rotate_right(u32(b ^ c), 12)
    a = u32(a + b + y)
    d = rotate_right(u32(d ^ a), 8)
    c = u32(c + d)
    b = rotate_right(u32(b ^ c), 7)
    return a, b, c, d


@inlined
def mix_all(v: Any, m: Any) -> Any:
    """One round: the columns, then the diagonals."""
    v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15 = v
    v0, v4, v8, v12 = mix(v0, v4, v8, v12, m[0], m[1])
    v1, v5, v9, v13 = mix(v1, v5, v9, v13, m[2], m[3])
    v2, v6, v10, v14 = mix(v2, v6, v10, v14, m[4], m[5])
    v3, v7, v11, v15 = mix(v3, v7, v11, v15, m[6], m[7])
    v0, v5, v10, v15 = mix(v0, v5, v10, v15, m[8], m[9])
    v1, v6, v11, v12 = mix(v1, v6, v11, v12, m[10], m[11])
    v2, v7, v8, v13 = mix(v2, v7, v8, v13, m[12], m[13])
    v3, v4, v9, v14 = mix(v3, v4, v9, v14, m[14], m[15])
    return v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15


@inlined
def permute(m: Any) -> Any:
    """The order of the message words in the next round."""
    return m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8]


@inlined
def gather(message: Words, i: int) -> Any:
    """Return the 16 words of lane i."""
    m0, m1, m2, m3 = message[i], message[LANES + i], message[2 * LANES + i], message[3 * LANES + i]
    m4, m5, m6, m7 = message[4 * LANES + i], message[5 * LANES + i], message[6 * LANES + i], message[7 * LANES + i]
    m8, m9, m10, m11 = message[8 * LANES + i], message[9 * LANES + i], message[10 * LANES + i], message[11 * LANES + i]
    m12, m13 = message[12 * LANES + i], message[13 * LANES + i]
    m14, m15 = message[14 * LANES + i], message[15 * LANES + i]
    return m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15


@inlined
def first_state(block_bytes: Any) -> Any:
    """Return the state before the first round: chaining value, constants, counter 0, length, flags."""
    zero, flags = u32(0), u32(SINGLE_BLOCK)
    low, high = (IV[0], IV[1], IV[2], IV[3]), (IV[4], IV[5], IV[6], IV[7])
    return low + high + low + (zero, zero, block_bytes, flags)


@kernel
def compress_lanes(message: Words, hashes: Words, block_bytes: int) -> None:
    """Hash LANES blocks: word j of lane i is message[j * LANES + i], word j of its hash hashes[j * LANES + i]."""
    for i in range(LANES):
        m = gather(message, i)
        v = mix_all(first_state(u32(block_bytes)), m)
        m = permute(m)
        v = mix_all(v, m)
        m = permute(m)
        v = mix_all(v, m)
        m = permute(m)
        v = mix_all(v, m)
        m = permute(m)
        v = mix_all(v, m)
        m = permute(m)
        v = mix_all(v, m)
        v = mix_all(v, permute(m))
        hashes[i] = v[0] ^ v[8]
        hashes[LANES + i] = v[1] ^ v[9]
        hashes[2 * LANES + i] = v[2] ^ v[10]
        hashes[3 * LANES + i] = v[3] ^ v[11]
        hashes[4 * LANES + i] = v[4] ^ v[12]
        hashes[5 * LANES + i] = v[5] ^ v[13]


@kernel
def hash_blocks(blocks: Words) -> Words:
    """BLAKE3 cut to 24 bytes of n blocks of at most 16 words: (n, words) -> (n, 6), little-endian words."""
    count, words = blocks.shape
    hashes = np.empty((count, HASH_WORDS), np.uint32)
    message = np.zeros(16 * LANES, np.uint32)
    lanes = np.empty(HASH_WORDS * LANES, np.uint32)
    for start in range(0, count, LANES):
        used = min(LANES, count - start)
        for i in range(used):
            for j in range(words):
                message[j * LANES + i] = blocks[start + i, j]
        compress_lanes(message, lanes, words * WORD_BYTES)
        for i in range(used):
            for j in range(HASH_WORDS):
                hashes[start + i, j] = lanes[j * LANES + i]
    return hashes
