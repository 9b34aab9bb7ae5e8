"""The game: where it stands, and what each honest party does next. Pure: no clock, no file, no socket."""
