"""Ctrl-C where a test wants it: at the n-th step of Python at which one may come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class _Interrupt:
    """Raises KeyboardInterrupt as the n-th time a function begins, or one of C returns."""

    def __init__(self, files: tuple[str, ...], nth: int) -> None:
        self._files = files
        self._left = nth
        self.where: str | None = None

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event not in ("call", "c_return") or not name.endswith(self._files):
            return
        self._left -= 1
        if not self._left:
            sys.setprofile(None)
            self.where = f"{name}:{frame.f_lineno}, {event} in {frame.f_code.co_name}"
            raise KeyboardInterrupt


def interrupted(files: tuple[str, ...], act: Callable[[], object]) -> Iterator[str]:
    """Do something again and again, each time interrupted one step later; where it was, each time.

    Args:
        files: how the names of the files end whose steps count.
        act: what is done.
    """
    nth = 0
    while True:
        nth += 1
        interrupt = _Interrupt(files, nth)
        sys.setprofile(interrupt)
        try:
            act()
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        if interrupt.where is None:
            return
        yield interrupt.where
