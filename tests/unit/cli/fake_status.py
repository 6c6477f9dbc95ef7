"""A batch as the server would tell of it."""

from typing import Any

from farm.wire.messages import Status


def status(**changes: Any) -> Status:
    """A batch of a hundred tasks that runs since ten seconds."""
    fields: dict[str, Any] = {
        "batch": 1, "name": "b", "state": "running", "total": 100, "pending": 50, "running": 0,
        "done": 50, "failed": 0, "cancelled": 0, "retried": 0, "submitted": 1000.0,
        "started": 1000.0, "ended": 0.0, "seconds": 1.0, "priority": 0, "open": False, "nodes": [],
        "now": 1010.0,
    }  # fmt: skip
    return Status(**{**fields, **changes})
