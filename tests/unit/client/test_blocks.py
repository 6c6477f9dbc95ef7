"""Arguments in blocks: how many go together, and what cannot be sent."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.client import blocks as module
from farm.client.blocks import Blocks, Packed
from farm.errors import UsageError


class Unpicklable:
    def __reduce__(self) -> Any:
        raise ValueError("this cannot be pickled")


def made(arguments: Iterable[Any], largest: int = 1 << 20) -> list[Any]:
    """Of each block what is in it, of what cannot be sent its error."""
    remaining = iter(arguments)
    blocks = Blocks(largest, list, "argument {}".format)
    found = blocks.of(lambda count: list(itertools.islice(remaining, count)))
    return [pickle.loads(one.payload) if isinstance(one, Packed) else one.error for one in found]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [1]), (10, [10]), (16 + 128 + 5, [16, 128, 5])],
)
def test_blocks_grow(count, sizes):
    found = made(range(count))
    assert [len(block) for block in found] == sizes
    assert [item for block in found for item in block] == list(range(count))


def test_blocks_of_large_arguments_have_few(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 1000)
    sizes = [len(block) for block in made([bytes([x]) * 90 for x in range(50)])]
    assert sizes[0] == 16
    assert set(sizes[1:-1]) <= {9, 10}
    assert sum(sizes) == 50


def test_a_block_has_so_many_at_most(monkeypatch):
    monkeypatch.setattr(module, "MAX_ITEMS", 50)
    assert max(map(len, made(range(1000)))) == 50


def test_what_is_pickled_of_a_block_may_have_another_shape():
    remaining = iter([[1, 2, 3]])
    (block,) = Blocks(1000, sum, str).of(lambda _: next(remaining, []))
    assert isinstance(block, Packed)
    assert (pickle.loads(block.payload), block.count) == (6, 3)


def test_a_block_that_is_too_large_is_split_and_an_argument_left_out():
    items = [b"x" * 300, b"y" * 300, b"z" * 300]
    assert made(items, 500) == [[item] for item in items]
    first, error, last = made([b"", b"x" * 600, b"y"], 500)
    assert (first, last) == ([b""], [b"y"])
    assert isinstance(error, UsageError)
    assert str(error).startswith("argument 1 has 6")
    assert "the limit is 500" in str(error)


@given(st.lists(st.booleans(), max_size=40))
def test_what_cannot_be_pickled_is_alone_in_its_place(bad):
    found = made(Unpicklable() if wrong else at for at, wrong in enumerate(bad))
    flat: list[Any] = []
    for one in found:
        if isinstance(one, Exception):
            assert one.__notes__ == [f"while argument {len(flat)} was pickled, to be sent"]
            flat.append(None)
        else:
            flat += one
    assert flat == [None if wrong else at for at, wrong in enumerate(bad)]
