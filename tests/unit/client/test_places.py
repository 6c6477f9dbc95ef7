"""Where the results of arguments stand of which some were not sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farm.client.places import Places


@given(st.lists(st.booleans(), max_size=30), st.data())
def test_each_task_has_the_place_of_its_argument(is_sent, data):
    places, sent = Places(), []
    for place, good in enumerate(is_sent):
        if good:
            sent.append(place)
        else:
            assert places.leave_out(len(sent)) == place
    assert len(places) == is_sent.count(False)
    start = data.draw(st.integers(0, len(sent)))
    stop = data.draw(st.integers(start, len(sent)))
    pieces = list(places.of(start, stop))
    found = [place + i for first, end, place in pieces for i in range(end - first)]
    assert found == sent[start:stop]
    assert [i for first, end, _ in pieces for i in range(first, end)] == list(range(start, stop))
