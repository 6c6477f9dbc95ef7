"""Functions and arguments that travel by value, pickled by cloudpickle.

Apart from what is submitted because code keeps the name of its file here, which cloudpickle leaves
out from 3.1.3 on so that the same code is always the same bytes: tracebacks would tell no file, and
show no lines where the file is there.
"""

from __future__ import annotations

import io
from collections import ChainMap
from types import CodeType
from typing import Any, ClassVar

import cloudpickle

_NO_FILE = "<dynamic-code>"
"""What cloudpickle writes in the place of the name."""

_reduce_code: Any = cloudpickle.Pickler.dispatch_table[CodeType]


def _with_file(code: CodeType) -> tuple[Any, ...]:
    """What code is made of again, as cloudpickle says it, with the name of its file."""
    make, parts = _reduce_code(code)
    return make, tuple(
        code.co_filename if isinstance(part, str) and part == _NO_FILE else part for part in parts
    )


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    dispatch_table: ClassVar[Any] = ChainMap(
        {CodeType: _with_file}, cloudpickle.Pickler.dispatch_table
    )


def dumps(value: Any) -> bytes:
    """A value's pickle, for `pickle.loads` on a Python of the same version."""
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()
