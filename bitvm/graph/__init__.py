"""The transactions of the dispute game, one file each, and the graph they form. Pure: no secrets, no I/O."""
