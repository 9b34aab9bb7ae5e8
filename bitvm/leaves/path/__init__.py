"""The path from a root of Step to a leaf or an entry: what both parties say about it, and proofs against it."""
