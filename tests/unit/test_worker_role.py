"""A node sees at once whether its key or certificate is for nodes."""

from __future__ import annotations

import pytest

from farm.errors import NotAuthorisedError
from farm.wire.address import Address
from farm.worker import _check_role

SERVER = Address("192.0.2.1", 7077)


@pytest.mark.parametrize("role", ["work", "admin"])
def test_these_may_work(role):
    _check_role(role, SERVER)


@pytest.mark.parametrize("role", ["view", "submit", "server", ""])
def test_these_are_told_why_they_cannot(role):
    with pytest.raises(NotAuthorisedError, match=f"its role is {role}") as error:
        _check_role(role, SERVER)
    assert "192.0.2.1:7077" in str(error.value)
    assert "`farm keygen --role work`" in str(error.value)
    assert error.value.exit_code == 4
