"""LVM: a RISC-V RV32IM machine whose whole state is one Merkle tree."""
