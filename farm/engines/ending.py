"""How a slot ends that cannot go on, whichever of its threads finds out."""

from __future__ import annotations

import os
import traceback
from typing import NoReturn

from farm.engines.exits import BROKEN, NO_MEMORY
from farm.engines.isolation import kill_own_group


def end_slot(error: BaseException) -> NoReturn:
    """End this process at once, in the way that tells its owner why.

    Args:
        error: what went wrong with what is farm's own. After an OSError or EOFError of the pipe
            the owner is taken for gone, and what tasks started ends as well.
    """
    if isinstance(error, OSError | EOFError):
        kill_own_group()
    if isinstance(error, MemoryError):
        os._exit(NO_MEMORY)
    try:
        traceback.print_exception(error)
    finally:
        os._exit(BROKEN)
