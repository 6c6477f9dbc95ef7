"""How a slot ends that cannot go on, whichever of its threads finds out."""

from __future__ import annotations

import os
import traceback
from typing import NoReturn

from farm.engines.exits import BROKEN, NO_MEMORY, PIPE_TAKEN
from farm.engines.isolation import kill_own_group
from farm.engines.pipe import OwnerGone, PipeTaken


def end_slot(error: BaseException) -> NoReturn:
    """End this process at once, in the way that tells its owner why.

    Args:
        error: what went wrong with what is farm's own. If the owner is gone, what tasks started
            ends as well.
    """
    if isinstance(error, OwnerGone):
        kill_own_group()
    if isinstance(error, PipeTaken):
        os._exit(PIPE_TAKEN)
    if isinstance(error, MemoryError):
        os._exit(NO_MEMORY)
    try:
        traceback.print_exception(error)
    finally:
        os._exit(BROKEN)
