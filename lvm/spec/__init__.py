"""The specification interpreter: what the machine means, written to be read beside the RISC-V manual."""
