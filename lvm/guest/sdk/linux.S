# Entry of a guest built as an ordinary riscv32 Linux program (for qemu-riscv32): INPUT is read from the standard
# input, the exit code is main's value modulo 256, and OUTPUT goes to the standard output. Used to compare speeds and
# behaviour; lvm itself never runs this file.

    .equ    SYS_READ, 63
    .equ    SYS_WRITE, 64
    .equ    SYS_EXIT, 93
    .equ    AREA_MAX, 0x3FFFFC

    .section .text.start, "ax"
    .globl _start
_start:
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    la      s0, lvm_input
    li      s1, 0                       # s1: bytes read so far
1:  li      a0, 0
    addi    a1, s0, 4
    add     a1, a1, s1
    li      a2, AREA_MAX
    sub     a2, a2, s1
    beqz    a2, 2f
    li      a7, SYS_READ
    ecall
    blez    a0, 2f
    add     s1, s1, a0
    j       1b
2:  sw      s1, 0(s0)
    call    main

    .globl lvm_exit
lvm_exit:
    mv      s2, a0
    la      s0, lvm_output
    lw      s1, 0(s0)                   # s1: bytes left to write
    addi    s0, s0, 4
3:  blez    s1, 4f
    li      a0, 1
    mv      a1, s0
    mv      a2, s1
    li      a7, SYS_WRITE
    ecall
    blez    a0, 4f
    add     s0, s0, a0
    sub     s1, s1, a0
    j       3b
4:  mv      a0, s2
    li      a7, SYS_EXIT
    ecall

    .bss
    .balign 64
    .globl lvm_input
lvm_input:
    .space 0x400000
    .globl lvm_output
lvm_output:
    .space 0x400000
