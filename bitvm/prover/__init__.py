"""The prover's daemon: what it claims, and the commands of who runs it."""
