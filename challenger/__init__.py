"""The watchtower: re-executes every claim, judges it, and fights the false ones."""
