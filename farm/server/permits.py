"""Who may ask what: the one check before every request, and every call of a plain client.

Roles are explained in `farm.wire.roles`. What is not named here nobody may do.
"""

from __future__ import annotations

from farm.errors import RequestError
from farm.wire.roles import ROLES

_ALL = frozenset({"view", "submit", "work", "admin"})
_LOOK = frozenset({"view", "submit", "admin"})
_WORK = frozenset({"work", "admin"})
_SUBMIT = frozenset({"submit", "admin"})
_ADMIN = frozenset({"admin"})

PERMITS: dict[str, frozenset[str]] = {
    "Hello": _ALL,
    # Looking. What a node needs to run a batch, it may read of any batch: it may be given any.
    "GetStatus": _LOOK,
    "ListBatches": _LOOK,
    "GetOutcomes": _LOOK,
    "GetResults": _LOOK,
    "GetNodes": _LOOK,
    "GetSpec": _ALL,
    "GetBlock": _ALL,
    "GetCode": _ALL,
    # Submitting, and all that is done to batches afterwards.
    "Submit": _SUBMIT,
    "Append": _SUBMIT,
    "Cancel": _SUBMIT,
    "Pause": _SUBMIT,
    "Resume": _SUBMIT,
    "Retry": _SUBMIT,
    "Forget": _SUBMIT,
    "Restore": _SUBMIT,
    # Working.
    "Join": _WORK,
    "Want": _WORK,
    "Report": _WORK,
    "Beat": _WORK,
    "Leave": _WORK,
    # The farm itself.
    "DrainNode": _ADMIN,
    # Plain clients.
    "task_queue.put": _SUBMIT,
    "task_queue.get": _WORK,
    "task_queue.qsize": _ALL,
    "task_queue.empty": _ALL,
    "result_dict.__setitem__": _WORK,
    "result_dict.pop": _SUBMIT,
    "result_dict.wait": _LOOK,
    "result_dict.get": _LOOK,
    "result_dict.keys": _LOOK,
    "result_dict.__contains__": _LOOK,
    "result_dict.__getitem__": _LOOK,
    "result_dict.__len__": _LOOK,
}
"""The roles that may do each thing: a request by the name of its type, a call by its object's."""


def check(role: str, action: str) -> None:
    """Let an action pass, or refuse it.

    Args:
        role: of the peer's key or certificate.
        action: a key of `PERMITS`.

    Raises:
        RequestError: ``forbidden``.
    """
    may = PERMITS.get(action, frozenset())
    if role in may:
        return
    roles = [one for one in ROLES if one in may]
    text = f"the role of this key or certificate is {role}, and {action} is for "
    if not roles:
        raise RequestError("forbidden", f"{text}nobody")
    raise RequestError(
        "forbidden",
        f"{text}{' or '.join(sorted(roles))}: use another (--authkey-file, --tls), such as "
        f"`farm keygen --role {roles[0]}` makes",
    )
