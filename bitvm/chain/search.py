"""A search of a node for coins, in a thread of its own: it takes minutes on a large chain, and nobody waits for it.

`begin` starts one, `result` gives what it has found when it has ended, until `forget`. One goes on at a time. A process
that ends does not wait for it either; the node then ends its work for nobody.
"""

import threading
from collections.abc import Callable, Collection

from bitcoin.core import COutPoint


class CoinSearch:
    """Searches with `find`, which may raise anything; used by one thread at a time."""

    def __init__(self, find: Callable[[], Collection[COutPoint]]) -> None:
        """Search nothing yet."""
        self._find = find
        self._thread: threading.Thread | None = None
        self._found: Collection[COutPoint] | Exception = ()

    @property
    def begun(self) -> bool:
        """Whether there is one that was not forgotten."""
        return self._thread is not None

    @property
    def ended(self) -> bool:
        """Whether there is a result."""
        return self._thread is not None and not self._thread.is_alive()

    def begin(self) -> None:
        """Start a search, if there is none that was not forgotten."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._search, name="coin search", daemon=True)
            self._thread.start()

    def result(self, patience: float = 0) -> Collection[COutPoint] | None:
        """Return what was found; None while it goes on, which is waited for `patience` seconds, or if none was begun.

        Raises the ChainError, or whatever else, that the search ended with.
        """
        if self._thread is not None:
            self._thread.join(patience)
        if not self.ended:
            return None
        if isinstance(self._found, Exception):
            raise self._found
        return self._found

    def forget(self) -> None:
        """Be done with a search that has ended."""
        self._thread = None

    def _search(self) -> None:
        try:
            self._found = self._find()
        except Exception as error:
            self._found = error
