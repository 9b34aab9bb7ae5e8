"""The dispute game on Bitcoin: scripts, leaves, transactions, players, chains."""
