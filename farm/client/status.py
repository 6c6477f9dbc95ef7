"""How a batch stands, as plain data: for JSON, and for the file of an exported batch."""

from __future__ import annotations

from typing import Any

import msgspec

from farm.wire.messages import Status


def document_of(status: Status) -> dict[str, Any]:
    """The fields of `Status`; ``nodes`` is a list of ``{node, done, seconds}``, ``stalled`` None or
    ``{why, since, advice}``."""
    fields = {name: getattr(status, name) for name in status.__struct_fields__}
    stalled = None if status.stalled is None else msgspec.structs.asdict(status.stalled)
    nodes = [msgspec.structs.asdict(share) for share in status.nodes]
    return {**fields, "nodes": nodes, "stalled": stalled}
