"""Hostile frames as hypothesis strategies: what strangers say, and framing that is broken.

What is hostile after authentication is in `pickles.py` and `requests.py`.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

STRANGER, MANAGER, PLAIN, FARM = "stranger", "manager", "plain", "farm"
"""How far a connection has come: nobody is known; the handshake is over; calls of a plain client;
farm's own protocol."""

ANSWER, CHALLENGE, WELCOME = 0, 1, 2
"""The steps of a handshake, as the peer takes them."""

PLAIN_LIMIT = 8 * 1024 * 1024
FARM_LIMIT = 64 * 1024 * 1024
"""Bytes that a frame may have, by default. Longer ones are claimed here, shorter ones sent in full:
those up to the limit a server has to keep, because their sender holds the key."""


@dataclass(frozen=True)
class Frame:
    """One hostile frame.

    Args:
        kind: for the table of what was sent.
        data: the bytes, with their header.
        ends: whether nothing can follow it, because the server still waits for bytes of it.
        steps: of a stranger: the steps of the handshake that come before it, as they should be.
    """

    kind: str
    data: bytes
    ends: bool = False
    steps: int = 0


@dataclass(frozen=True)
class Script:
    """Frames for one connection, which is made anew whenever the server has closed it.

    Args:
        stage: how far the connection is when they come.
        role: whose key it came in with.
        frames: one after another.
    """

    stage: str
    role: str
    frames: tuple[Frame, ...]


Volley = tuple[Frame, ...]
"""Frames that are drawn together: drawing costs more than sending, so that what is changed at
random is changed in several ways."""

VARIANTS = 4


def framed(data: bytes) -> bytes:
    """A frame as it should be."""
    return struct.pack("!i", len(data)) + data


# -- bytes ------------------------------------------------------------------------------------

garbage = st.binary(min_size=1, max_size=96)

_PROTOCOLS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\nHost: farm\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\x5a" * 160,  # TLS
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x03\x00\x00\x13\x0e\xe0\x00\x00",  # RDP
        b"\x00" * 64,
        b"\xff" * 64,
        b"\r\n" * 16,
    ]
)

SEEDS = st.integers(0, 2**32 - 1)


def changed(data: bytes, chance: random.Random) -> bytes:
    """Bytes after up to three changes: overwritten, put in, taken out, repeated or cut off."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(data))
        new = chance.randbytes(chance.randint(1, 6))
        match chance.choice("oooiitrc"):
            case "o":
                data = data[:at] + new + data[at + len(new) :]
            case "i":
                data = data[:at] + new + data[at:]
            case "t":
                data = data[:at] + data[at + len(new) :]
            case "r":
                data = data[:at] + data[max(0, at - 40) : at] * 2 + data[at:]
            case _:
                data = data[:at]
    return data


def mutated(strategy: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[bytes, ...]]:
    """What the strategy gives, changed in several ways."""

    def vary(data: bytes, number: int) -> tuple[bytes, ...]:
        chance = random.Random(number)
        return tuple(changed(data, chance) for _ in range(VARIANTS))

    return st.builds(vary, strategy, SEEDS)


@st.composite
def pick(draw: st.DrawFn, choices: list[tuple[int, st.SearchStrategy[Volley]]]) -> Volley:
    """What one of the strategies gives, each as often as its weight says."""
    return draw(draw(st.sampled_from([one for weight, one in choices for _ in range(weight)])))


def volley(kind: str, data: st.SearchStrategy[bytes]) -> st.SearchStrategy[Volley]:
    """Good frames around what is not."""
    return data.map(lambda body: (Frame(kind, framed(body)),))


def volleys(kind: str, data: st.SearchStrategy[tuple[bytes, ...]]) -> st.SearchStrategy[Volley]:
    """The same, of several."""
    return data.map(lambda bodies: tuple(Frame(kind, framed(body)) for body in bodies))


# -- headers ----------------------------------------------------------------------------------


def _headers(limit: int) -> st.SearchStrategy[bytes]:
    short = st.sampled_from([-2, -3, -(2**31), limit + 1, limit * 2, 2**31 - 1])
    long = st.sampled_from([0, 1, limit, limit + 1, 2**31, 2**32, 2**40, 2**63, 2**64 - 1])
    return st.one_of(
        st.builds(lambda size: struct.pack("!i", size), short),
        st.builds(lambda size: struct.pack("!iQ", -1, size), long),
        st.binary(min_size=1, max_size=3),
    )


def broken_framing(
    kind: str, limit: int, bodies: st.SearchStrategy[bytes]
) -> st.SearchStrategy[Volley]:
    """Headers that lie: negative, too large, of 64 bits, cut off, or not those of their bodies.

    Args:
        kind: for the table.
        limit: bytes that a frame may have here.
        bodies: what would be good frames otherwise.
    """

    def lie(body: bytes, header: bytes, number: int) -> Volley:
        chance = random.Random(number)
        size = max(0, len(body) + chance.choice([-40, -4, -1, 1, 4, 4000]))
        cut = framed(body)[: chance.randrange(len(body) + 4)]
        lies = (header, header + body, struct.pack("!i", size) + body, cut)
        return tuple(Frame(f"{kind}: broken framing", lie, ends=True) for lie in lies)

    return st.builds(lie, bodies, _headers(limit), SEEDS)


# -- strangers --------------------------------------------------------------------------------

_DIGESTS = (b"{sha256}", b"{sha3_256}", b"{md5}", b"{sha1}", b"{nonesuch}", b"{", b"")

_answers = st.builds(
    lambda digest, mac: digest + mac, st.sampled_from(_DIGESTS), st.binary(max_size=64)
)
"""What could be an answer to a challenge, of somebody who does not hold the key."""

_challenges = st.builds(
    lambda head, digest, nonce: head + digest + nonce,
    st.sampled_from([b"#CHALLENGE#", b"#CHALLENGE", b"#CHALLANGE#", b""]),
    st.sampled_from(_DIGESTS),
    st.binary(max_size=64),
)

_verdicts = st.sampled_from([b"#WELCOME#", b"#FAILURE#", b"#WELCOME#\0", b"#REFUSED#busy#x", b""])
_requests = st.sampled_from(
    [
        b"\x80\x04N\x8c\x05dummy)}\x94t.",
        b"(N(S'dummy'\n(t(dt.",
        b"\x92\x01\x91\xabListBatches",
        b"cos\nsystem\n(S'true'\ntR.",
    ]
)
_steps = st.one_of(_answers, _challenges, _verdicts, _requests)
_long = st.integers(257, 4096).map(lambda size: b"#CHALLENGE#{sha256}".ljust(size, b"x"))


def _at_step(steps: int, data: bytes) -> bool:
    """Whether it is hostile there; some mutations change nothing."""
    return not (steps == WELCOME and data == b"#WELCOME#")


def strangers() -> st.SearchStrategy[Volley]:
    """What is said before the peer is known, at the beginning or in the middle of the handshake."""
    raw = st.one_of(garbage, _PROTOCOLS).map(
        lambda data: (Frame("stranger: garbage", data, ends=True),)
    )
    at_once = pick(
        [
            (1, raw),
            (1, volley("stranger: garbage", garbage)),
            (2, volley("stranger: steps", _steps)),
            (2, volleys("stranger: mutated steps", mutated(_steps))),
            (1, volley("stranger: too long", _long)),
            (1, broken_framing("stranger", 256, _steps)),
        ]
    )
    return st.builds(_at_step, st.integers(ANSWER, WELCOME), at_once)


def _at_step(steps: int, frames: Volley) -> Volley:
    """Frames that come later; but for the one that would be right there."""
    right = framed(b"#WELCOME#")
    return tuple(
        Frame(frame.kind, frame.data, frame.ends, steps)
        for frame in frames
        if steps != WELCOME or frame.data != right
    )


def scripts(canary: str) -> st.SearchStrategy[Script]:
    """Everything, for every stage and role.

    Args:
        canary: a file that is made by whoever executes what it unpickles.
    """
    from fuzz import pickles, requests  # they build upon this module

    makers: list[tuple[str, Callable[[], st.SearchStrategy[Volley]], int]] = [
        (STRANGER, strangers, 16),
        (MANAGER, lambda: pickles.manager(canary), 5),
        (PLAIN, lambda: pickles.plain(canary), 8),
        (FARM, requests.misread, 8),
        (FARM, requests.hostile_values, 12),
    ]
    kinds = [_of(stage, make(), most) for stage, make, most in makers]

    @st.composite
    def script(draw: st.DrawFn) -> Script:  # has a short name, where a strategy's is all of it
        return draw(draw(st.sampled_from(kinds)))

    return script()


def _of(stage: str, frames: st.SearchStrategy[Volley], most: int) -> st.SearchStrategy[Script]:
    # Mostly the one that may do everything: what is forbidden is not looked at further.
    roles = st.just(ROLES[0]) if stage == STRANGER else st.sampled_from([ROLES[0], *ROLES])
    listed = st.lists(frames, min_size=most // 2, max_size=most).map(
        lambda several: tuple(frame for volley in several for frame in volley)
    )
    return st.builds(Script, st.just(stage), roles, listed)


ROLES = ("admin", "submit", "work", "view")
