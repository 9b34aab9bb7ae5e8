"""When to run translated code and when the kernel: the policy of the fast machine.

Guarantee: `Runner.run` executes steps exactly as the kernel alone would. A program that runs for long is translated
(`lvm.translate`) once the kernel has spent about as much time on it as the compiler will, and the translation is used
from the start by every other machine of the process whose memory holds the same code. Code that is changed loses its
translation. Each translation doubles the patience, so a program that keeps rewriting itself never waits for the
compiler much longer than for its own steps. User mode is left to the kernel, as everything that translated code does
not handle.
"""

from __future__ import annotations

from typing import Final

from lvm import engine
from lvm.control import WINDOW_ADDRESS
from lvm.layout import CONTROL_BASE, LEAF_BYTES, REGISTERS_BASE, WORD_BYTES
from lvm.outcome import Outcome
from lvm.translate import Translation, decoded_words

FIRST_PATIENCE: Final = 1 << 24
"""Steps of the kernel before a translation is thought of."""
STEPS_PER_WORD: Final = 1 << 18
"""Steps that the kernel must have taken for each instruction to translate: both cost about a millisecond."""
PATIENCE_GROWTH: Final = 2
"""Factor on both after a translation."""
SHORT_RUN: Final = 1 << 12
"""A run of fewer steps is left to the kernel: looking for a translation costs more."""
BURSTS: Final = (64, 1 << 20)
"""Least and most steps for the kernel after translated code has stopped."""
KEPT: Final = 8
"""How many translations are remembered."""

known: list[Translation] = []
"""The translations that this process remembers, most recent first."""


class Runner:
    """Takes the steps of one machine."""

    def __init__(self, arrays: engine.Arrays) -> None:
        """Work on the arrays of a machine."""
        self._arrays = arrays
        self._translation: Translation | None = None
        self._seen_changes = -1
        self._translated_words = 0
        self._interpreted = 0
        self._patience = FIRST_PATIENCE
        self._steps_per_word = STEPS_PER_WORD
        self._burst = BURSTS[0]

    def run(self, steps: int) -> int:
        """Take between 1 and `steps` steps, steps >= 1, unless one halts the machine; return how many.

        The machine must not be halted.
        """
        translation = None if steps < SHORT_RUN else self._current_translation()
        if translation is None:
            return self._interpret(min(steps, max(self._patience - self._interpreted, SHORT_RUN)))
        in_kernel_mode = self._arrays.memory[WINDOW_ADDRESS // WORD_BYTES] == 0
        executed = translation.run(self._arrays, steps) if in_kernel_mode else 0
        if executed > 16 * self._burst:
            self._burst = BURSTS[0]
        if executed:
            engine.touch_leaves(REGISTERS_BASE // LEAF_BYTES, CONTROL_BASE // LEAF_BYTES + 1, *self._arrays[1:])
            return executed
        return self._interpret_to_a_block(steps)

    def _interpret(self, steps: int) -> int:
        executed: int = engine.run(*self._arrays, steps)
        self._interpreted += executed
        return executed

    def _interpret_to_a_block(self, steps: int) -> int:
        """Let the kernel do what translated code does not, longer the less that code achieves, then to a jump."""
        executed = self._interpret(min(steps, self._burst))
        self._burst = min(2 * self._burst, BURSTS[1])
        if executed < steps and self._arrays.cursor[engine.LAST_OUTCOME] == Outcome.RETIRE:
            ahead = engine.steps_to_jump(self._arrays.memory, self._arrays.code)
            executed += self._interpret(min(steps - executed, ahead))
        return executed

    def _current_translation(self) -> Translation | None:
        """Return the translation to use now, made or found if it is time to."""
        changes = int(self._arrays.cursor[engine.CODE_CHANGES])
        if changes != self._seen_changes:
            self._seen_changes = changes
            self._translation = self._find_known()
            self._translated_words = 0 if self._translation is None else self._translation.words
        if self._interpreted >= self._patience:
            self._translate()
        x0 = self._arrays.memory[REGISTERS_BASE // WORD_BYTES]
        return self._translation if x0 == 0 else None

    def _find_known(self) -> Translation | None:
        for translation in known:
            if translation.matches(self._arrays.memory):
                translation.install(self._arrays)
                return translation
        return None

    def _translate(self) -> None:
        """Translate what is decoded by now, if that is more than what was translated before."""
        words = decoded_words(self._arrays)
        cost = self._steps_per_word * len(words)
        if self._interpreted < cost:
            self._patience = cost
            return
        self._interpreted = 0
        self._patience *= PATIENCE_GROWTH
        self._steps_per_word *= PATIENCE_GROWTH
        if len(words) > self._translated_words:
            self._translated_words = len(words)
            self._translation = Translation(self._arrays, words)
            known.insert(0, self._translation)
            del known[KEPT:]
