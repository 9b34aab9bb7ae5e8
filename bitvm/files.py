"""Files that are there when they are complete and on disk, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitvm.keys.seed import sync_folder


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a new file, durably; raises FileExistsError where there is one, and OSError. Nothing is ever replaced."""
    with _draft(path, content, mode) as draft:
        os.link(draft, path)


def write_over(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file, durably, in the place of one that may be there; raises OSError, and then that one is untouched."""
    with _draft(path, content, mode) as draft:
        draft.replace(path)


@contextmanager
def _draft(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """Give a complete file beside ``path``, to be moved there; the folder is synced afterwards."""
    folder = path.absolute().parent
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=folder) as drafts:
        draft = Path(drafts) / path.name
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        yield draft
    sync_folder(folder)
