"""Who may ask what, written out by hand, and one request of each kind."""

from __future__ import annotations

from farm.batch.spec import Options
from farm.wire import controls
from farm.wire.leases import Beat, GetCode, Join, Leave, Report, Want
from farm.wire.messages import (
    Append,
    Cancel,
    GetBlock,
    GetNodes,
    GetOutcomes,
    GetResults,
    GetSpec,
    GetStatus,
    Hello,
    ListBatches,
    Message,
    Submit,
)
from farm.wire.roles import ROLES

# A letter where the role may: v(iew), s(ubmit), w(ork), a(dmin).
TABLE = """
    Hello                     v s w a
    GetStatus                 v s . a
    ListBatches               v s . a
    GetOutcomes               v s . a
    GetResults                v s . a
    GetNodes                  v s . a
    GetSpec                   v s w a
    GetBlock                  v s w a
    GetCode                   v s w a
    Submit                    . s . a
    Append                    . s . a
    Cancel                    . s . a
    Pause                     . s . a
    Resume                    . s . a
    Retry                     . s . a
    Forget                    . s . a
    Restore                   . s . a
    Join                      . . w a
    Want                      . . w a
    Report                    . . w a
    Beat                      . . w a
    Leave                     . . w a
    DrainNode                 . . . a
    task_queue.put            . s . a
    task_queue.get            . . w a
    task_queue.qsize          v s w a
    task_queue.empty          v s w a
    result_dict.wait          v s . a
    result_dict.get           v s . a
    result_dict.pop           . s . a
    result_dict.keys          v s . a
    result_dict.__contains__  v s . a
    result_dict.__getitem__   v s . a
    result_dict.__setitem__   . . w a
    result_dict.__len__       v s . a
"""
MAY = {
    (role, action): letter == role[0]
    for action, *letters in map(str.split, TABLE.strip().splitlines())
    for role, letter in zip(ROLES, letters, strict=True)
}
ACTIONS = {action for _, action in MAY}

REQUESTS: list[Message] = [
    Hello("1", "3.11"), Submit("t", "n", 1, Options(), b""), Append(1, []),
    GetStatus("1"), ListBatches(), GetSpec(1), GetOutcomes(1, 0), GetResults(1, 0), Cancel("1"),
    GetNodes(), controls.Pause("1"), controls.Resume("1"), controls.Retry("1"),
    controls.Forget(1), controls.Restore(1, []), controls.DrainNode("n"),
    Join("n", 1, [], "token"), Want(1, 1), GetBlock(1, 0), GetCode("0" * 64),
    Report([], [], []), Beat("token"), Leave("token"),
]  # fmt: skip
"""What they name need not be there: whether they are allowed is looked at first."""
