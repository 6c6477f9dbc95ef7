"""Ctrl-C at every point at which CPython may deliver it, one after the other."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Interrupt:
    """A KeyboardInterrupt at the n-th function that begins, or function in C that returns.

    Args:
        nth: counted from 1, in the files alone.
        files: what is in the names of the files whose functions count.
    """

    def __init__(self, nth: int, files: tuple[str, ...]) -> None:
        self._left = nth
        self._files = files
        self.where = ""
        """Where it came, once it has."""

    def during(self, act: Callable[[], object]) -> None:
        """Do something, and interrupt it."""
        sys.setprofile(self._look)
        try:
            act()
        except KeyboardInterrupt:
            assert self.where
        finally:
            sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event not in ("call", "c_return"):
            return
        if not any(part in code.co_filename for part in self._files):
            return
        self._left -= 1
        if not self._left:
            sys.setprofile(None)
            self.where = (
                f"{event} {code.co_qualname}:{frame.f_lineno} {getattr(arg, '__name__', '')}"
            )
            raise KeyboardInterrupt


def everywhere(*files: str) -> Iterator[Interrupt]:
    """Interrupts at one point after the other, up to the first that there is not."""
    for nth in itertools.count(1):
        yield (made := Interrupt(nth, files))
        if not made.where:
            assert nth > 3, "nothing was interrupted"
            return
