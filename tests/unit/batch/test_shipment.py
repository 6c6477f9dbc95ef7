"""The digest of the files that travel with a batch; the store of code tests their names."""

from __future__ import annotations

from farm.batch.shipment import digest


def test_digests_tell_files_apart() -> None:
    assert digest({}) == ""
    assert digest({"a": b"1", "b": b"2"}) == digest({"b": b"2", "a": b"1"})
    different = [{"a": b"1"}, {"a": b"2"}, {"b": b"1"}, {"a": b"1", "b": b""}, {"ab": b""}]
    different += [{"a": b"bc"}, {"ab": b"c"}]
    assert len({digest(files) for files in different}) == len(different)
