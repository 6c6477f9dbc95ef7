"""What a node reports of tasks that it cannot begin, or whose outcome nobody knows or takes. Pure.

What cannot be had now cannot be had later: such tasks have failed, so that their batch ends and the
node goes on with the others.
"""

from __future__ import annotations

from farm.wire.messages import Failure

UNHEARD = Failure(
    "lost", "",
    "the server refused the report of what came of this task, and the batch says `rerun: false`: "
    "it has run, and is not run again. The node's log says why", "",
)  # fmt: skip
"""Of a task that must not run twice."""

MAY_HAVE_RUN = Failure(
    "lost", "",
    "the process that had this task has ended before its outcome was known, and the batch says "
    "`rerun: false`: it may have run, and is not run again", "",
)  # fmt: skip
"""Of one whose slot has died."""


def without_arguments(why: str) -> Failure:
    """The server refuses the block with a task's arguments."""
    return _failed("BlockError", "the arguments of this task cannot be had", why)


def without_program(why: str) -> Failure:
    """The server refuses what a batch runs, or its files, or what it has are others."""
    return _failed("ProgramError", "the program of this batch cannot be had", why)


def _failed(type_name: str, what: str, why: str) -> Failure:
    text = (
        f"{what} from the server, so that it was not begun: {why}. Restore the server's "
        "data directory from a backup and `farm retry` the batch, or submit it again"
    )
    return Failure("error", type_name, text, "")
