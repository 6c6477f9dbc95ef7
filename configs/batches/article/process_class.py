"""The article's second way of making a process: subclass `multiprocessing.Process`.

Shipped to nodes with `process_class.yaml`; only the standard library is used.
"""

from __future__ import annotations

import time
from multiprocessing import Process


class MyProcess(Process):
    """A process by inheritance: farm makes it with the parameters and calls `run` in a slot.

    Args:
        name: the process's name, a property of every `Process`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name)

    def run(self) -> str:  # type: ignore[override]  # a `Process` cannot answer, a task can
        """Greet after a short sleep.

        Returns:
            The line that was printed.
        """
        time.sleep(0.2)
        line = f"hello {self.name} {time.ctime()}"
        print(line)
        return line
