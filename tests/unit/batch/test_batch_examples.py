"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
from datetime import date
from types import ModuleType

import pytest

from farm.batch import command, plain, ranges, shell, space
from farm.batch.spread import spread_range


@pytest.mark.parametrize("module", [command, plain, ranges, shell, space])
def test_examples(module: ModuleType) -> None:
    names = {"date": date, "spread_range": spread_range}
    failed, attempted = doctest.testmod(module, extraglobs=names)
    assert attempted > 0
    assert failed == 0
