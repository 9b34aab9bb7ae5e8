"""HTML pages that stand alone: one file without scripts, which needs nothing from anywhere."""
