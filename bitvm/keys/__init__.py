"""The secrets of a party: one seed, the paths of its keys, and the journal without which no one-time key signs."""
