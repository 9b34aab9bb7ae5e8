"""Bytes of Bitcoin Script: builder, one-time signatures, arithmetic, hashes, Taproot. Knows nothing of the game."""
