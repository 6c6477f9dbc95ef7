"""Scripts that know nothing but the standard library, and the Pythons they are run with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from multiprocessing.managers import BaseManager, BaseProxy
from pathlib import Path
from typing import Any

import pytest
from farm_harness import HOST, KEY, PATIENCE

PREAMBLE = """
import os, queue, sys, time
from multiprocessing import AuthenticationError
from multiprocessing.managers import BaseManager, RemoteError

class Manager(BaseManager):
    pass

Manager.register("get_task_queue")
Manager.register("get_result_dict")
manager = Manager(("127.0.0.1", int(sys.argv[1])), authkey=sys.argv[2].encode())

def error_of(function, *args):
    try:
        return function(*args)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

manager.connect()
tasks, results = manager.get_task_queue(), manager.get_result_dict()
"""


def find_python(version: str) -> str:
    """The interpreter of a version; skips the test if there is none on this machine."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    managed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for found in [*map(str, managed), shutil.which(f"python{version}")]:
        if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
            return found
    pytest.skip(f"there is no Python {version} here")


def start(script: str, port: int, *, python: str = sys.executable, key: bytes = KEY):
    """Start a script after the preamble; what it prints is its `stdout`."""
    return subprocess.Popen(
        [python, "-c", PREAMBLE + script, str(port), key.decode()],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(script: str, port: int, *, python: str = sys.executable, key: bytes = KEY) -> list[str]:
    """Run a script to its end; the lines it printed."""
    process = start(script, port, python=python, key=key)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"the script hangs; so far: {out}\n{err}") from None
    assert process.returncode == 0, err
    return out.splitlines()


class _Registered(BaseManager):
    """A manager, as its documentation has it."""


_Registered.register("get_task_queue")
_Registered.register("get_result_dict")

_PROXIES: list[BaseProxy] = []


class _Manager(_Registered):
    """One whose proxies live until `let_go`.

    A proxy that nobody needs any more tells its server, and waits for the answer. Where it is part
    of a cycle the collector finds it, in whatever thread that runs: if that were the thread of a
    server in this process, it would wait for itself.
    """

    def get_task_queue(self) -> Any:
        return _kept(super().get_task_queue())

    def get_result_dict(self) -> Any:
        return _kept(super().get_result_dict())


def _kept(proxy: BaseProxy) -> BaseProxy:
    _PROXIES.append(proxy)
    return proxy


def let_go() -> None:
    """The proxies of this process end, in this thread."""
    _PROXIES.clear()


def in_process(port: int, key: bytes = KEY) -> Any:
    """A plain manager in this process, connected."""
    manager = _Manager((HOST, port), authkey=key)
    manager.connect()
    return manager
