"""Leaves: the scripts that decide a dispute once the disputed step is known, and the statement that they judge."""
