"""The article's pool with a callback, as a program that farms its calls out and as a batch.

python configs/batches/article/pool_callback.py
farm run configs/batches/article/pool_callback.yaml
"""

from __future__ import annotations

import time

import farm


def Foo(i: int) -> int:
    """Sleep a little and add a hundred."""
    time.sleep(0.2)
    return i + 100


def Bar(arg: int) -> None:
    """The callback: it gets each result as soon as there is one, in the caller's process."""
    print("-->exec done:", arg)


def main() -> None:
    """Run Foo ten times in five processes and call Bar with what comes back."""
    with farm.local(processes=5) as session:
        batch = session.submit(Foo, params=[{"i": i} for i in range(10)])
        print("end")  # nothing waited: submit returns at once, as apply_async does
        for outcome in batch.outcomes():
            Bar(outcome.value)


if __name__ == "__main__":
    main()
