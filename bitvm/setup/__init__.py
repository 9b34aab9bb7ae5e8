"""The exchange between a prover and its challengers that ends in a signed graph."""
