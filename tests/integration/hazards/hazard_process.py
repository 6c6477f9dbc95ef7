"""A stock manager's server, or farm's, as a process that does what a test says before it serves.

hazard_process.py stock|farm DATA PORT KEY SETUP
"""

from __future__ import annotations

import queue
import sys
import time
from multiprocessing import process
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import hazard_tasks

HOST = "127.0.0.1"
TASKS: queue.Queue[Any] = queue.Queue()
RESULTS: dict[Any, Any] = {}


class Tools:
    """An object with a method for whatever a test has to see."""

    def echo(self, value: Any) -> Any:
        return value

    def hold(self, went: str, go: str) -> str:
        """Make a file, and answer once there is another one."""
        Path(went).touch()
        while not Path(go).exists():
            time.sleep(0.005)
        return "held"

    def fail(self) -> None:
        hazard_tasks.fail()

    def proxies_kept(self) -> int:
        """Objects that the server itself holds on to (gh-103136)."""
        return len(process.current_process()._manager_server.id_to_local_proxy_obj)


class Stock(BaseManager):
    """What anybody writes who follows the standard library's documentation."""


Stock.register("get_task_queue", callable=lambda: TASKS)
Stock.register(
    "get_result_dict",
    callable=lambda: RESULTS,
    exposed=("get", "pop", "keys", "__contains__", "__getitem__", "__setitem__", "__len__"),
)
Stock.register("get_tools", callable=Tools)
Stock.register("make_list", callable=list, exposed=("append", "clear", "__len__"))
Stock.register("get_nested", callable=list, method_to_typeid={"copy": "copied"})
Stock.register("copied")
Stock.register("get_secret", callable=lambda: {"password": "hunter2"}, exposed=("__len__",))


def serve_stock(port: int, key: bytes) -> None:
    server = Stock((HOST, port), authkey=key).get_server()
    print("ready", server.address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    kind, data, port, key, setup = sys.argv[1:]
    exec(setup)
    if kind == "stock":
        serve_stock(int(port), key.encode())
    else:
        import farm_process  # not above: a stock server starts several times as quickly without

        farm_process.serve(data, port)
