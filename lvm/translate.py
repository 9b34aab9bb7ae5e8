"""Translation of a guest's decoded code into one native function, by LLVM (llvmlite, which comes with Numba).

Guarantee: `Translation.run` takes at most the number of steps asked for, each of them as the kernel `engine.run` would
take it, and stops *before* any instruction that it does not handle: one that faults, ECALL, MRET, a CSR instruction, a
word that was not decoded when the translation was made, a store to a leaf that holds decoded code, and a block longer
than the steps left. The kernel takes over there, so exact stops stay exact and no rule of the machine exists only here.
Only code of kernel mode is translated, and the caller sees to it that the machine is in that mode.

Construction. Blocks begin where a jump can land (a target, the word after a jump) or the kernel hands back (the word
after a CSR instruction) and end at the next jump or block.
A block first compares its length with the steps left and subtracts it; an exit in the middle gives the rest back.
Consecutive blocks, cut at the targets of calls and at REGION_WORDS, make a region: one native function, in which the
guest's registers are local variables that LLVM keeps in registers of the host. Between regions they are in the state,
and a loop around a switch over all blocks goes from one to the next; regions keep LLVM's time proportional to the
code. x0 is the constant 0, so the state's word of x0 must be 0. An address is rotated right by its alignment before it
is compared with the end of its range: a misaligned one becomes too large, so one comparison tells both.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Set
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from lvm import engine
from lvm.control import PC_ADDRESS
from lvm.layout import LEAF_WORDS, LOAD_END, REGISTERS_BASE, STORE_END, WORD_BYTES

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
SIGNATURE: Final = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 4, ctypes.c_int64)

BRANCHES: Final = {
    engine.BEQ: "==",
    engine.BNE: "!=",
    engine.BLT: "<",
    engine.BGE: ">=",
    engine.BLTU: "<",
    engine.BGEU: ">=",
}
SIGNED: Final = frozenset({engine.BLT, engine.BGE})
LOADS: Final = {
    engine.LB: (I8, True),
    engine.LBU: (I8, False),
    engine.LH: (I16, True),
    engine.LHU: (I16, False),
    engine.LW: (I32, False),
}
STORES: Final = {engine.SB: I8, engine.SH: I16, engine.SW: I32}
LEFT_TO_THE_KERNEL: Final = frozenset(
    {engine.ECALL, engine.ILLEGAL, engine.FAR_JAL, engine.FAR_BRANCH, engine.CSRW, engine.CSRR, engine.MRET}
)

RETURN_ADDRESS: Final = 1
"""Register x1, where calls leave it."""
REGION_WORDS: Final = 256
STOPPED: Final = 1 << 63
"""Added to the steps left that a region returns where the kernel has to go on."""

Value = Any
Operation = Callable[[Any, Value, Value], Value]


def _constant(value: int, kind: Any = I32) -> Value:
    return ir.Constant(kind, value)


def _shift(name: str) -> Operation:
    return lambda build, a, b: getattr(build, name)(a, build.and_(b, _constant(31)))


def _less(signed: bool) -> Operation:
    def operation(build: Any, a: Value, b: Value) -> Value:
        compare = build.icmp_signed if signed else build.icmp_unsigned
        return build.zext(compare("<", a, b), I32)

    return operation


def _high_product(left_signed: bool, right_signed: bool) -> Operation:
    def operation(build: Any, a: Value, b: Value) -> Value:
        left = build.sext(a, I64) if left_signed else build.zext(a, I64)
        right = build.sext(b, I64) if right_signed else build.zext(b, I64)
        return build.trunc(build.lshr(build.mul(left, right), _constant(32, I64)), I32)

    return operation


def _division(name: str, *, signed: bool, remainder: bool) -> Operation:
    """Divide by 1 where the host would trap; that gives the manual's result for overflow, zero is chosen after."""

    def operation(build: Any, a: Value, b: Value) -> Value:
        by_zero = build.icmp_unsigned("==", b, _constant(0))
        unsafe = by_zero
        if signed:
            smallest = build.icmp_unsigned("==", a, _constant(0x80000000))
            by_minus_one = build.icmp_unsigned("==", b, _constant(0xFFFFFFFF))
            unsafe = build.or_(by_zero, build.and_(smallest, by_minus_one))
        result = getattr(build, name)(a, build.select(unsafe, _constant(1), b))
        return build.select(by_zero, a if remainder else _constant(0xFFFFFFFF), result)

    return operation


def _simple(name: str) -> Operation:
    return lambda build, a, b: getattr(build, name)(a, b)


REGISTER: Final[Mapping[int, Operation]] = {
    engine.ADD: _simple("add"),
    engine.SUB: _simple("sub"),
    engine.SLL: _shift("shl"),
    engine.SLT: _less(signed=True),
    engine.SLTU: _less(signed=False),
    engine.XOR: _simple("xor"),
    engine.SRL: _shift("lshr"),
    engine.SRA: _shift("ashr"),
    engine.OR: _simple("or_"),
    engine.AND: _simple("and_"),
    engine.MUL: _simple("mul"),
    engine.MULH: _high_product(left_signed=True, right_signed=True),
    engine.MULHSU: _high_product(left_signed=True, right_signed=False),
    engine.MULHU: _high_product(left_signed=False, right_signed=False),
    engine.DIV: _division("sdiv", signed=True, remainder=False),
    engine.DIVU: _division("udiv", signed=False, remainder=False),
    engine.REM: _division("srem", signed=True, remainder=True),
    engine.REMU: _division("urem", signed=False, remainder=True),
}
IMMEDIATE: Final[Mapping[int, Operation]] = {
    engine.ADDI: REGISTER[engine.ADD],
    engine.SLTI: REGISTER[engine.SLT],
    engine.SLTIU: REGISTER[engine.SLTU],
    engine.XORI: REGISTER[engine.XOR],
    engine.ORI: REGISTER[engine.OR],
    engine.ANDI: REGISTER[engine.AND],
    engine.SLLI: REGISTER[engine.SLL],
    engine.SRLI: REGISTER[engine.SRL],
    engine.SRAI: REGISTER[engine.SRA],
}


def _find_leaders(words: Mapping[int, int]) -> list[int]:
    """Return the word numbers where blocks begin, ascending."""
    leaders = {index for index in words if index - 1 not in words}
    for index, packed in words.items():
        operation = packed & 0xFF
        if operation in engine.JUMPS or operation in (engine.CSRW, engine.CSRR):
            leaders.add(index + 1)
        if operation in engine.JUMPS and operation != engine.JALR:
            leaders.add(packed >> 34)
    return sorted(leaders & words.keys())


def _find_regions(words: Mapping[int, int]) -> list[list[int]]:
    """Return the leaders in groups of neighbours."""
    calls = {packed >> 34 for packed in words.values() if packed & 0xFFFF == engine.JAL | RETURN_ADDRESS << 8}
    regions: list[list[int]] = []
    for leader in _find_leaders(words):
        if not regions or leader in calls or leader - regions[-1][0] >= REGION_WORDS:
            regions.append([])
        regions[-1].append(leader)
    return regions


_POINTERS = tuple(ir.PointerType(kind) for kind in (I8, I8, I32, I64))
_FUNCTION = ir.FunctionType(I64, [*_POINTERS, I64])


def _new_function(module: Any, name: str) -> Any:
    """Declare (memory, flags, dirty, cursor, steps) -> steps left; the four arrays do not overlap."""
    function = ir.Function(module, _FUNCTION, name)
    for pointer in function.args[:4]:
        pointer.add_attribute("noalias")
    return function


def _rotate(build: Any, value: Value, bits: int) -> Value:
    """Rotate right: an aligned address becomes a word or half number, a misaligned one a huge number."""
    if bits == 0:
        return value
    return build.or_(build.lshr(value, _constant(bits)), build.shl(value, _constant(32 - bits)))


def _state_word(build: Any, memory: Value, address: int) -> Value:
    return build.bitcast(build.gep(memory, [_constant(address, I64)]), ir.PointerType(I32))


def _write_module(words: Mapping[int, int]) -> Any:
    """Write all regions and the function `run` that goes from one to the next."""
    module = ir.Module()
    function = _new_function(module, "run")
    *arrays, steps = function.args
    entry, loop, leave = (function.append_basic_block(name) for name in ("entry", "loop", "leave"))
    build = ir.IRBuilder(entry)
    build.branch(loop)
    build.position_at_end(loop)
    left = build.phi(I64)
    left.add_incoming(steps, entry)
    switch = build.switch(_rotate(build, build.load(_state_word(build, arrays[0], PC_ADDRESS)), 2), leave)
    build.position_at_end(leave)
    result = build.phi(I64)
    result.add_incoming(left, loop)
    build.ret(build.and_(result, _constant(STOPPED - 1, I64)))
    regions = _find_regions(words)
    all_leaders = frozenset(leader for leaders in regions for leader in leaders)
    for leaders in regions:
        region = _Region(module, words, leaders, all_leaders)
        block = function.append_basic_block()
        for leader in leaders:
            switch.add_case(_constant(leader), block)
        build.position_at_end(block)
        returned = build.call(region.function, [*arrays, left])
        build.cbranch(build.icmp_signed("<", returned, _constant(0, I64)), leave, loop)
        left.add_incoming(returned, block)
        result.add_incoming(returned, block)
    return module


class _Region:
    """Writes the native function of some blocks: `words` maps word number to unpacked form (see `lvm.engine`)."""

    def __init__(self, module: Any, words: Mapping[int, int], leaders: list[int], all_leaders: Set[int]) -> None:
        self.words, self.leaders = words, all_leaders
        self.function = function = _new_function(module, f"region{leaders[0]}")
        self.memory, self.flags, self.dirty, self.cursor, steps = function.args
        self.build = ir.IRBuilder(function.append_basic_block("entry"))
        self.left, self.pc = self.build.alloca(I64), self.build.alloca(I32)
        self.registers = [self.build.alloca(I32) for _ in range(32)]
        self.written: set[int] = set()
        self.blocks = {leader: function.append_basic_block() for leader in leaders}
        self.dispatch, self.leave = (function.append_basic_block(name) for name in ("dispatch", "leave"))
        self._write_entry(steps)
        for leader in leaders:
            self._write_block(leader)
        self._write_leave()

    # -- the frame -----------------------------------------------------------------------------------------------

    def _state_register(self, index: int) -> Value:
        return _state_word(self.build, self.memory, REGISTERS_BASE + WORD_BYTES * index)

    def _write_entry(self, steps: Value) -> None:
        """Take the registers and pc from the state and go to the block at pc."""
        build = self.build
        build.store(steps, self.left)
        build.store(build.load(_state_word(build, self.memory, PC_ADDRESS)), self.pc)
        for index, register in enumerate(self.registers):
            build.store(build.load(self._state_register(index)), register)
        build.branch(self.dispatch)
        build.position_at_end(self.dispatch)
        switch = build.switch(_rotate(build, build.load(self.pc), 2), self.leave)
        for leader, block in self.blocks.items():
            switch.add_case(_constant(leader), block)

    def _write_leave(self) -> None:
        """Put the registers and pc back into the state."""
        build = self.build
        build.position_at_end(self.leave)
        build.store(build.load(self.pc), _state_word(build, self.memory, PC_ADDRESS))
        for index in sorted(self.written):
            build.store(build.load(self.registers[index]), self._state_register(index))
        build.ret(build.load(self.left))

    def _exit(self, index: int, given_back: int, *, stop: bool = True) -> Any:
        """Return a new block that leaves with pc at word `index` and that many steps not taken."""
        block = self.function.append_basic_block()
        with self.build.goto_block(block):
            back = given_back + (STOPPED if stop else 0)
            left = self.build.load(self.left)
            self.build.store(self.build.add(left, _constant(back, I64)), self.left)
            self.build.store(_constant(index * WORD_BYTES & 0xFFFFFFFF), self.pc)
            self.build.branch(self.leave)
        return block

    def _continue_if(self, condition: Value, otherwise: Any) -> None:
        """Go on in a new block if the condition holds."""
        following = self.function.append_basic_block()
        self.build.cbranch(condition, following, otherwise)
        self.build.position_at_end(following)

    # -- blocks --------------------------------------------------------------------------------------------------

    def _write_block(self, leader: int) -> None:
        end = leader
        while end in self.words and self.words[end] & 0xFF not in LEFT_TO_THE_KERNEL:
            end += 1
            if self.words[end - 1] & 0xFF in engine.JUMPS or end in self.leaders:
                break
        length = end - leader
        build = self.build
        build.position_at_end(self.blocks[leader])
        if length == 0:
            build.branch(self._exit(leader, 0))
            return
        left = build.load(self.left)
        self._continue_if(build.icmp_unsigned(">=", left, _constant(length, I64)), self._exit(leader, 0))
        build.store(build.sub(left, _constant(length, I64)), self.left)
        for index in range(leader, end):
            self._write_instruction(index, end - index)
        if not build.block.is_terminated:
            build.branch(self._block_at(end))

    def _block_at(self, index: int) -> Any:
        return self.blocks.get(index) or self._exit(index, 0, stop=False)

    def _get(self, index: int) -> Value:
        return _constant(0) if index == 0 else self.build.load(self.registers[index])

    def _set(self, index: int, value: Value) -> None:
        if index != engine.SINK:
            self.written.add(index)
            self.build.store(value, self.registers[index])

    def _write_instruction(self, index: int, remaining: int) -> None:
        """Write one instruction; `remaining` counts it and what follows it in its block."""
        build, packed = self.build, self.words[index]
        operation, rd, imm = packed & 0xFF, packed >> 8 & 0xFF, packed >> 32
        rs1, rs2 = packed >> 16 & 0xFF, packed >> 24 & 0xFF
        if operation in IMMEDIATE:
            self._set(rd, IMMEDIATE[operation](build, self._get(rs1), _constant(imm)))
        elif operation in REGISTER:
            self._set(rd, REGISTER[operation](build, self._get(rs1), self._get(rs2)))
        elif operation in BRANCHES:
            compare = build.icmp_signed if operation in SIGNED else build.icmp_unsigned
            taken = compare(BRANCHES[operation], self._get(rs1), self._get(rs2))
            build.cbranch(taken, self._block_at(imm >> 2), self._block_at(index + 1))
        elif operation == engine.CONST:
            self._set(rd, _constant(imm))
        elif operation == engine.JAL:
            self._set(rd, _constant((index + 1) * WORD_BYTES))
            build.branch(self._block_at(imm >> 2))
        elif operation == engine.JALR:
            target = build.and_(build.add(self._get(rs1), _constant(imm)), _constant(0xFFFFFFFE))
            aligned = build.icmp_unsigned("==", build.and_(target, _constant(2)), _constant(0))
            self._continue_if(aligned, self._exit(index, remaining))
            self._set(rd, _constant((index + 1) * WORD_BYTES))
            build.store(target, self.pc)
            build.branch(self.dispatch)
        elif operation in LOADS:
            kind, signed = LOADS[operation]
            value = build.load(self._data_pointer(rs1, imm, kind, LOAD_END, self._exit(index, remaining))[0])
            if kind is not I32:
                value = build.sext(value, I32) if signed else build.zext(value, I32)
            self._set(rd, value)
        elif operation in STORES:
            self._write_store(STORES[operation], rs1, rs2, imm, self._exit(index, remaining))

    def _data_pointer(self, rs1: int, imm: int, kind: Any, end: int, otherwise: Any) -> tuple[Value, Value]:
        """Return a pointer to the datum and its byte address as 64 bits, both known to be good."""
        build = self.build
        size = kind.width // 8
        address = build.add(self._get(rs1), _constant(imm))
        number = _rotate(build, address, size.bit_length() - 1)
        self._continue_if(build.icmp_unsigned("<", number, _constant(end // size)), otherwise)
        offset = build.zext(address, I64)
        return build.bitcast(build.gep(self.memory, [offset]), ir.PointerType(kind)), offset

    def _write_store(self, kind: Any, rs1: int, rs2: int, imm: int, otherwise: Any) -> None:
        """Mark the leaf DIRTY if it is clean; leave it to the kernel if it has CODE; then store."""
        build = self.build
        pointer, offset = self._data_pointer(rs1, imm, kind, STORE_END, otherwise)
        leaf = build.lshr(offset, _constant(6, I64))
        flag_pointer = build.gep(self.flags, [leaf])
        flag = build.load(flag_pointer)
        clean = self.function.append_basic_block()
        store = self.function.append_basic_block()
        switch = build.switch(flag, otherwise)
        switch.add_case(_constant(engine.DIRTY, I8), store)
        switch.add_case(_constant(0, I8), clean)
        build.position_at_end(clean)
        count_pointer = build.gep(self.cursor, [_constant(engine.DIRTY_COUNT, I64)])
        count = build.load(count_pointer)
        build.store(_constant(engine.DIRTY, I8), flag_pointer)
        build.store(build.trunc(leaf, I32), build.gep(self.dirty, [count]))
        build.store(build.add(count, _constant(1, I64)), count_pointer)
        build.branch(store)
        build.position_at_end(store)
        value = self._get(rs2)
        build.store(value if kind is I32 else build.trunc(value, kind), pointer)


class Translation:
    """The native function of some decoded code."""

    def __init__(self, arrays: engine.Arrays, words: Mapping[int, int]) -> None:
        """Compile `words`: word number (address / 4) -> unpacked form, as decoded from the memory in `arrays`."""
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_default_triple()
        features = llvm.get_host_cpu_features().flatten()
        machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=1)
        module = llvm.parse_assembly(str(_write_module(words)))
        passes = llvm.create_new_module_pass_manager()
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
        self._compiler = llvm.create_mcjit_compiler(module, machine)
        self._compiler.finalize_object()
        self._function = SIGNATURE(self._compiler.get_function_address("run"))
        self.words = len(words)
        """How many instructions were translated."""
        self._numbers = np.fromiter(words, np.int64, len(words))
        self._unpacked = np.fromiter(words.values(), np.uint64, len(words))
        self._instructions = arrays.memory[self._numbers]

    def matches(self, memory: engine.Words) -> bool:
        """Whether this memory holds the code that was translated."""
        return np.array_equal(memory[self._numbers], self._instructions)

    def install(self, arrays: engine.Arrays) -> None:
        """Mark the code as decoded in a machine that it matches, so that stores to it are noticed."""
        arrays.code[self._numbers] = self._unpacked
        arrays.flags[np.unique(self._numbers // LEAF_WORDS)] |= np.uint8(engine.CODE)

    def run(self, arrays: engine.Arrays, steps: int) -> int:
        """Take up to `steps` steps (below 2^63) from the state's pc and return how many were taken.

        The interpreter lock is released. The caller marks the leaves of registers and control. x0 must be 0, and the
        machine in kernel mode.
        """
        pointers = (array.ctypes.data for array in (arrays.memory, arrays.flags, arrays.dirty, arrays.cursor))
        left: int = self._function(*pointers, steps)
        return steps - left


def decoded_words(arrays: engine.Arrays) -> dict[int, int]:
    """Return what has been decoded so far for kernel mode: word number -> unpacked form."""
    leaves = np.flatnonzero(arrays.flags & engine.CODE)
    rows = arrays.code.reshape(-1, LEAF_WORDS)[leaves]
    chosen, columns = np.nonzero((rows != 0) & (rows & np.uint64(0xFF) <= engine.OPERATION))
    numbers = leaves[chosen] * LEAF_WORDS + columns
    return dict(zip(numbers.tolist(), rows[chosen, columns].tolist(), strict=True))
