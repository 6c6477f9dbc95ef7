"""Every batch file names things that exist, and the settings files show defaults only."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from farm.config import SERVE, WORKER, Setting

Load = Callable[[str], ModuleType]
BATCHES = [
    "article/pool_callback",
    "article/process_class",
    "article/process_function",
    "checksums",
    "mandelbrot",
    "primes",
    "stdlib",
]


def test_every_batch_file_is_known_here_and_explained(batches: Path) -> None:
    found = sorted(path.relative_to(batches) for path in batches.rglob("*.yaml"))
    assert found == [Path(f"{name}.yaml") for name in BATCHES]
    readme = (batches / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in found if f"`{path.name}`" not in readme] == []


@pytest.mark.parametrize("name", [name for name in BATCHES if name != "checksums"])
def test_the_function_is_in_the_file_beside_the_batch(batches: Path, load: Load, name: str) -> None:
    file = batches / f"{name}.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    python, _, attribute = document["python"].partition(":")
    module = load(str((file.parent / python).relative_to(batches)))
    assert callable(getattr(module, attribute))


@pytest.mark.parametrize(("name", "settings"), [("server", SERVE), ("worker", WORKER)])
def test_settings_files_are_commented_out_and_show_the_defaults(
    batches: Path, name: str, settings: tuple[Setting[Any], ...]
) -> None:
    text = (batches.parent / f"{name}.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) is None
    shown = yaml.safe_load("\n".join(re.findall(r"^# (\w+:(?: \S+)?)$", text, re.M)))
    assert {name: value for name, value in shown.items() if value is None} == {
        setting.name: None for setting in settings if setting.default is None
    }
    assert {
        setting.name: setting.read(shown[setting.name])
        for setting in settings
        if setting.default is not None
    } == {setting.name: setting.default for setting in settings if setting.default is not None}
    assert [setting.name for setting in settings if setting.variable not in text] == []
