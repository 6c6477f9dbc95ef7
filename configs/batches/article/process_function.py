"""The article's first way of making a process: name a function.

Shipped to nodes with `process_function.yaml`; only the standard library is used.
"""

from __future__ import annotations

import time


def f(name: str) -> str:
    """Greet after a short sleep, as the article's ``Process(target=f, args=(name,))`` does.

    Returns:
        The line that was printed: in a farm, results are how tasks answer.
    """
    time.sleep(0.2)
    line = f"hello {name} {time.ctime()}"
    print(line)
    return line
