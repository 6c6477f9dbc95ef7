"""A relay between clients and a server, which counts connections and reads all that passes."""

from __future__ import annotations

from collections.abc import Callable

from chaos.proxy import Pair, Proxies, Proxy, Way


class Relay(Proxy):
    """Listens on ``port``, and passes everything on to ``target``."""

    def __init__(self, proxies: Proxies, target: int) -> None:
        super().__init__(proxies)
        self.target = target
        self._seen = {Way.UP: bytearray(), Way.DOWN: bytearray()}

    def passes(self, data: bytes, way: Way, send: Callable[[bytes], None]) -> None:
        """In the relay's loop: read what passes."""
        self._seen[way] += data
        super().passes(data, way, send)

    def inject(self, pair: Pair, data: bytes) -> None:
        """Send the server something of its own, on a client's connection."""
        self._proxies.call(lambda: pair.server.send(data))

    def has_read(self, text: bytes) -> bool:
        """Whether a text has passed as it is."""
        return any(text in seen for seen in self._seen.values())

    @property
    def connections(self) -> int:
        """How many there have been: a server begins each with one challenge."""
        return self._seen[Way.DOWN].count(b"#CHALLENGE#")
