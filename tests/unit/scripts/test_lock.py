"""What scripts/lock pins: everything but the peers that farm is only measured beside."""

from __future__ import annotations

import sys
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_every_extra_is_pinned_but_the_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("lock", str(ROOT / "scripts" / "lock"))
    spec = spec_from_loader("lock", loader)
    assert spec is not None
    lock = module_from_spec(spec)
    loader.exec_module(lock)
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = document["project"]["optional-dependencies"]

    wanted = lock.requirements()

    assert set(extras["tls"]) <= set(wanted)
    assert "ray" in extras["bench"]
    assert set(extras["bench"]) & set(wanted) == set()
