"""A key in Python is bytes or text."""

from __future__ import annotations

import farm


def test_a_key_may_be_given_as_text_as_it_stands_in_its_file(serve):
    key = "0123456789abcdef" * 4
    server = serve(key.encode())
    for given in (key, f"{key}\n", key.encode()):
        with farm.connect(str(server.address), given) as session:
            assert session.batches() == []
