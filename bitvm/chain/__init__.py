"""Bitcoin as the game sees it: one small interface, an embedded chain and a real node behind it, a wallet."""
