"""One file a group of figures: how each side is measured, and what must come out of it."""

from __future__ import annotations

from benchmarks.case import Case
from benchmarks.cases import (
    async_calls,
    batches,
    commands,
    huge,
    idle,
    latency,
    map_calls,
    memory,
    payloads,
    throughput,
    uneven,
)

CASES: dict[str, Case] = {
    module.CASE.name: module.CASE
    for module in (
        throughput, map_calls, latency, async_calls, commands, payloads, uneven, huge, batches,
        memory, idle,
    )
}  # fmt: skip
"""All of them, in the order in which they are measured."""
