# Entry of a guest. Boot gives: all registers zero, pc = _start, memory as the previous run left it.
# So .bss and OUTPUT's length are cleared here on every run; .data and .persistent are left alone.

    .section .text.start, "ax"
    .globl _start
_start:
    .option push
    .option norelax                     # gp itself cannot be addressed relative to gp
    la      gp, __global_pointer$
    .option pop
    la      sp, __stack_top
    la      t0, __bss_start
    la      t1, __bss_end
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)                 # the linker script aligns both ends to 16
    sw      zero, 4(t0)
    sw      zero, 8(t0)
    sw      zero, 12(t0)
    addi    t0, t0, 16
    j       1b
2:  la      t0, lvm_output
    sw      zero, 0(t0)
    call    main
                                        # falls through: main's value is the exit code in a0
    .globl lvm_exit
lvm_exit:
    ecall                               # halted = 1, exit_code = a0
