"""The other Pythons of this machine, each with what farm needs to run, kept in `.cache/pythons`.

An environment there holds farm's dependencies at the versions of constraints.txt; farm itself comes
from the checkout by PYTHONPATH. A stamp, written last, says what an environment was made from.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from functional_farm import ROOT

CACHE = ROOT / ".cache" / "pythons"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
LOCK_SECONDS = 600.0


def interpreters() -> dict[str, str]:
    """By version, a Python of this machine; without farm's dependencies, but for this one."""
    found = {version: _find(version) for version in VERSIONS}
    return {version: python for version, python in found.items() if python}


def _find(version: str) -> str:
    if version == HERE:
        return sys.executable
    managed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for python in [*map(str, managed), shutil.which(f"python{version}")]:
        if python and subprocess.run([python, "--version"], capture_output=True).returncode == 0:
            return python
    return ""


def environments(found: dict[str, str]) -> dict[str, str]:
    """By version, a Python that can run farm; makes what is missing, all at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone(), ThreadPoolExecutor() as pool:
        ready = pool.map(_environment, found, found.values())
        return dict(zip(found, ready, strict=True))


def _environment(version: str, base: str) -> str:
    if version == HERE:
        return sys.executable
    venv = CACHE / version
    python, stamp, wanted = venv / "bin" / "python", venv / "stamp", _fingerprint(base)
    if not stamp.exists() or stamp.read_text() != wanted:
        _run(base, "-m", "venv", "--clear", "--without-pip", str(venv))
        _run(
            sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet",
            "--disable-pip-version-check", "--constraint", str(ROOT / "constraints.txt"),
            *_dependencies(),
        )  # fmt: skip
        stamp.write_text(wanted)
    return str(python)


def _dependencies() -> list[str]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(document["project"]["dependencies"])


def _fingerprint(base: str) -> str:
    """A digest of all that an environment is made from."""
    parts = [str(ROOT), _run(base, "-VV"), *_dependencies()]
    parts.append((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} failed: {done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def _alone() -> Iterator[None]:
    """No other test run makes environments meanwhile; the kernel frees the lock in any case."""
    with (CACHE / "lock").open("w") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < deadline, "another test run makes environments for ever"
                time.sleep(0.1)
        yield
