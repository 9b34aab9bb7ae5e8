"""New files that are there when they are complete and on disk, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bitvm.keys.seed import sync_folder


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a new file, durably; raises FileExistsError where there is one, and OSError. Nothing is ever replaced."""
    folder = path.absolute().parent
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=folder) as drafts:
        draft = Path(drafts) / path.name
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.link(draft, path)
    sync_folder(folder)
