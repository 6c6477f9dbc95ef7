"""The challenge, against the standard library's own functions in every Python that is here."""

from __future__ import annotations

import contextlib
import hmac
import shutil
import socket
import subprocess
import sys
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path

import pytest
from farm_harness import KEY, PATIENCE
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import ProtocolError
from farm.wire import handshake
from farm.wire.frames import FrameReader, header
from farm.wire.keyring import Key

CLIENT = """
import sys
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
try:
    connection = Client(("127.0.0.1", int(sys.argv[1])), authkey=sys.argv[2].encode())
except (AuthenticationError, EOFError) as error:
    print(type(error).__name__)
else:
    print("known", connection.recv_bytes())
"""


def serve_one(sock: socket.socket, key: bytes) -> str:
    """Go through the server's side with whoever connects; what came of it."""
    shake, reader = (
        handshake.ServerHandshake([Key(key, "work", "of a node")]),
        FrameReader(handshake.MAX_FRAME),
    )
    sock.settimeout(PATIENCE)
    sock.sendall(header(len(shake.begin())) + shake.begin())
    while not shake.complete:
        data = sock.recv(4096)
        if not data:
            return "closed"
        reader.feed(data)
        for frame in reader.frames():
            try:
                answers = shake.receive(frame)
            except handshake.KeyRefusedError:
                answers = [handshake.FAILURE]
            with contextlib.suppress(ConnectionError):  # who is refused may be gone already
                for answer in answers:
                    sock.sendall(header(len(answer)) + answer)
            if answers == [handshake.FAILURE]:
                return "refused"
    sock.sendall(header(2) + b"ok")
    return "complete"


def find_python(version: str) -> str:
    """The interpreter of a version; skips the test if there is none on this machine."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version == here:
        return sys.executable
    managed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in [*map(str, managed), shutil.which(f"python{version}")]:
        if (
            candidate
            and subprocess.run([candidate, "--version"], capture_output=True).returncode == 0
        ):
            return candidate
    pytest.skip(f"there is no Python {version} here")


@pytest.fixture(params=["3.11", "3.12", "3.13", "3.14"])
def python(request):
    return find_python(request.param)


@pytest.mark.parametrize(
    ("key", "client_says", "server_says"),
    [(KEY, "known b'ok'", "complete"), (b"x" * 32, "AuthenticationError", "refused")],
    ids=["right key", "wrong key"],
)
def test_a_client_of_the_standard_library(python, key, client_says, server_says):
    found = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                found.append(serve_one(sock, KEY))

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        client = subprocess.run(
            [python, "-c", CLIENT, str(port), key.decode()],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        thread.join(PATIENCE)
    assert client.stdout.strip() == client_says, client.stderr
    assert found == [server_says]


def as_client(action) -> str:
    """Let ``action`` be the client of a server; what the server says."""
    ours, theirs = socket.socketpair()
    found = []
    thread = threading.Thread(target=lambda: found.append(serve_one(ours, KEY)))
    thread.start()
    with ours, Connection(theirs.detach()) as connection:
        action(connection)
        connection.close()
        thread.join(PATIENCE)
    return found[0]


def test_the_server_shows_that_it_holds_the_key_too():
    def pretend(connection):
        answer_challenge(connection, KEY)
        with pytest.raises(AuthenticationError):
            deliver_challenge(connection, b"another key of the same length..")

    assert as_client(pretend) == "refused"


def test_each_challenge_is_a_new_one():
    assert (
        handshake.ServerHandshake([Key(KEY, "work", "of a node")]).begin()
        != handshake.ServerHandshake([Key(KEY, "work", "of a node")]).begin()
    )


def test_an_answer_is_good_for_its_own_challenge_alone():
    first, second = (
        handshake.ServerHandshake([Key(KEY, "work", "of a node")]),
        handshake.ServerHandshake([Key(KEY, "work", "of a node")]),
    )
    box = handshake._Mailbox([first.begin(), handshake.WELCOME])
    answer_challenge(box, KEY)
    assert first.receive(box.outgoing[0]) == [handshake.WELCOME]
    with pytest.raises(handshake.KeyRefusedError):
        second.receive(box.outgoing[0])


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_garbage_is_a_protocol_error_and_never_completes(frames):
    shake = handshake.ServerHandshake([Key(KEY, "work", "of a node")])
    for frame in frames:
        with pytest.raises(ProtocolError):
            shake.receive(frame)
    assert not shake.complete


@given(st.binary(max_size=300))
def test_garbage_after_a_right_answer_never_completes(frame):
    shake = handshake.ServerHandshake([Key(KEY, "work", "of a node")])
    box = handshake._Mailbox([shake.begin(), handshake.WELCOME])
    answer_challenge(box, KEY)
    shake.receive(box.outgoing[0])
    with contextlib.suppress(ProtocolError):  # it is no challenge at all
        shake.receive(frame)
    assert not shake.complete


def test_a_peer_that_refuses_the_server_is_not_served():
    shake = handshake.ServerHandshake([Key(KEY, "work", "of a node")])
    box = handshake._Mailbox([shake.begin(), handshake.WELCOME])
    answer_challenge(box, KEY)
    shake.receive(box.outgoing[0])
    shake.receive(handshake.CHALLENGE + b"{sha256}" + b"c" * 40)
    with pytest.raises(handshake.KeyRefusedError):
        shake.receive(handshake.FAILURE)
    assert not shake.complete


# -- several keys -----------------------------------------------------------------------------

KEYS = [Key(letter.encode() * 32, "work", letter) for letter in "abc"]


def answer_of(shake: handshake.ServerHandshake, secret: bytes, digest: str) -> bytes:
    """What the holder of a key answers: Python 3.11 with a bare MD5."""
    message = shake.begin().removeprefix(handshake.CHALLENGE)
    mac = hmac.new(secret, message, digest).digest()
    return mac if digest == "md5" else b"{%b}" % digest.encode() + mac


@pytest.mark.parametrize("digest", ["sha256", "md5"])
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_any_key_of_the_server_is_answered_and_known_by_its_name(key, digest):
    shake = handshake.ServerHandshake(KEYS)
    assert shake.receive(answer_of(shake, key.secret, digest)) == [handshake.WELCOME]
    assert shake.key == key
    assert not shake.complete
    challenge = handshake.CHALLENGE + b"{sha256}" + b"c" * 40
    box = handshake._Mailbox([challenge, handshake.WELCOME])
    answer_challenge(box, key.secret)
    assert shake.receive(challenge) == box.outgoing, "by the same key"
    assert shake.receive(handshake.WELCOME) == []
    assert shake.complete


@pytest.mark.parametrize("digest", ["sha256", "md5"])
def test_a_key_that_is_new_is_looked_for_once(digest):
    new, asked = Key(b"n" * 32, "submit", "new"), []
    shake = handshake.ServerHandshake(KEYS, lambda: asked.append(1) or [*KEYS, new])
    assert shake.receive(answer_of(shake, new.secret, digest)) == [handshake.WELCOME]
    assert (shake.key, asked) == (new, [1])


def test_where_a_key_is_known_new_ones_are_not_looked_for():
    shake = handshake.ServerHandshake(KEYS, lambda: pytest.fail("it was looked for"))
    shake.receive(answer_of(shake, KEYS[0].secret, "sha256"))


@pytest.mark.parametrize("more", [(), KEYS[:1]], ids=["none", "others"])
def test_a_key_that_is_none_of_them_is_refused(more):
    shake = handshake.ServerHandshake(KEYS, lambda: more)
    with pytest.raises(handshake.KeyRefusedError, match="does not hold a key of this server"):
        shake.receive(answer_of(shake, b"x" * 32, "sha256"))
    assert shake.key is None


@given(st.binary(min_size=16, max_size=16) | st.binary(max_size=40).map(lambda b: b"{sha256}" + b))
def test_no_answer_is_right_by_chance(answer):
    shake = handshake.ServerHandshake(KEYS)
    with pytest.raises(handshake.KeyRefusedError):
        shake.receive(answer)


def test_who_is_turned_away_reads_why_where_a_challenge_would_be():
    frame = handshake.refusal("busy", "it has 3 connections")
    assert frame == b"#REFUSED#busy#it has 3 connections"
    ours, theirs = socket.socketpair()
    with ours, Connection(theirs.detach()) as connection:
        ours.sendall(header(len(frame)) + frame)
        # An AssertionError in Python 3.11.
        with pytest.raises((AuthenticationError, AssertionError), match="it has 3 connections"):
            answer_challenge(connection, KEY)
