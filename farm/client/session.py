"""A session with a farm: submit, and look at what is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from farm import config
from farm.batch import loader
from farm.batch import spec as specs
from farm.batch.suggest import clipped
from farm.client import submission, transfer
from farm.client.asking import ask
from farm.client.batch import Batch
from farm.client.link import Link
from farm.client.submitting import Submitting
from farm.errors import ProtocolError, UsageError
from farm.wire import access, controls, identity, messages
from farm.wire.address import parse
from farm.wire.credentials import CertificateCredentials, KeyCredentials


class Session:
    """One connection to a server; use it from any thread, close it when done.

    Made by `farm.connect` and `farm.local`.

    Example:
        >>> with farm.connect() as session:                     # doctest: +SKIP
        ...     print(list(session.submit("primes.yaml").results()))
    """

    def __init__(self, link: Link, on_close: Callable[[], None] = lambda: None) -> None:
        self._link = link
        self._on_close = on_close

    @property
    def address(self) -> str:
        """Where the server listens."""
        return str(self._link.address)

    @property
    def link(self) -> Link:
        """The connection, for farm's own commands."""
        return self._link

    def submit(
        self,
        what: str | os.PathLike[str] | Callable[..., Any] | loader.Batch,
        params: Iterable[Mapping[str, Any]] | None = None,
        *,
        name: str | None = None,
        overrides: Iterable[str] = (),
        retries: int | None = None,
        timeout: float | None = None,
        priority: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Batch:
        """Submit a batch; it is journalled when this returns.

        Args:
            what: a batch file's path, or a function (class, coroutine function).
            params: for a function: the keyword arguments of each task. None for one task without.
            name: for people; the file's or the function's own if not given.
            overrides: for a file: as ``--set`` on the command line, e.g. ``options.retries=5``.
            retries: further attempts after a failed one.
            timeout: seconds an attempt may take.
            priority: batches of a higher one are served first.
            options: any of the options of a batch file, in the same forms, such as
                ``{"retries": {"max": 3, "delay": "1s"}, "rate": "5/s", "memory": "512MB"}``;
                those of a file are replaced. The arguments above win over these.

        Raises:
            BatchFileError: the file is wrong; nothing was submitted.
            UsageError: the arguments cannot be used.

        Example:
            >>> batch = session.submit(pow, params=[{"base": 2, "exp": e} for e in range(9)])
            ...                                                 # doctest: +SKIP
        """
        given = {"retries": retries, "timeout": timeout, "priority": priority}
        chosen = _options(options, given)
        if isinstance(what, str | os.PathLike):
            if params is not None:
                raise UsageError("a batch file has its own params; change them with overrides")
            what = submission.load_file(Path(what), overrides, name, chosen)
        if isinstance(what, loader.Batch):
            return self._send(submission.of_batch(what))
        return self._submit_function(what, params, name, loader.load_options(chosen))

    def _submit_function(
        self,
        function: Callable[..., Any],
        params: Iterable[Mapping[str, Any]] | None,
        name: str | None,
        options: specs.Options,
    ) -> Batch:
        if isinstance(params, Mapping):
            raise UsageError("params is a list of mappings, one for each task; this is one mapping")
        spec = submission.of_function(function, name, options)
        return Batch(
            self._link, Submitting(self._link, spec).submit([{}] if params is None else params)
        )

    def _send(self, submit: messages.Submit) -> Batch:
        return Batch(self._link, ask(self._link, submit, messages.Submitted).batch)

    def batch(self, ref: int | str = "last") -> Batch:
        """A batch by its id, its name (the latest of that name), or ``last``.

        Raises:
            UnknownBatchError: there is none.
        """
        return Batch(self._link, self.status(ref).batch)

    def status(self, ref: int | str = "last", wait: float = 0.0) -> messages.Status:
        """How a batch stands; see `Batch.status`."""
        return ask(self._link, messages.GetStatus(str(ref), wait), messages.Status)

    def batches(self, limit: int = 100) -> list[messages.Status]:
        """How the latest batches stand, newest first."""
        found: list[messages.Status] = []
        before = 0
        while len(found) < limit:
            asked = messages.ListBatches(limit - len(found), before)
            page = ask(self._link, asked, messages.Batches).batches
            if not page:
                break
            if before and page[0].batch >= before:
                raise ProtocolError(f"the server gave batch {page[0].batch} after {before}")
            found += page
            before = page[-1].batch
        return found

    def nodes(self) -> list[messages.NodeInfo]:
        """The nodes that are connected, then those lately gone, each by their ids."""
        found: list[messages.NodeInfo] = []
        last = 0
        while page := ask(self._link, messages.GetNodes(last), messages.Nodes).nodes:
            if page[0].node <= last:
                raise ProtocolError(f"the server gave node {page[0].node} after {last}")
            found += page
            last = page[-1].node
        return sorted(found, key=lambda node: node.state in messages.GONE)

    def drain(self, node: int | str) -> controls.Draining:
        """Let a node finish what it runs, take nothing new, and leave.

        Args:
            node: its id or its name.

        Raises:
            UsageError: there is no such node.
        """
        return ask(self._link, controls.DrainNode(str(node)), controls.Draining)

    def import_(self, directory: str | os.PathLike[str]) -> Batch:
        """A batch that `Batch.export` wrote, with its outcomes, as a batch of this server.

        What had not ended is paused: `Batch.resume` runs the rest. A directory that was imported
        already gives the batch that it became.

        Raises:
            UsageError: the directory is not an exported batch, or not as it was exported.
        """
        imported = transfer.import_(self._link, Path(directory))
        return Batch(self._link, imported.status.batch)

    def close(self) -> None:
        """Close the connection; batches go on. A local farm is stopped."""
        try:
            self._link.close()
        finally:  # also after Ctrl-C: helpers do not outlive their session
            self._on_close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _options(options: Mapping[str, Any] | None, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, with those arguments in their place that were given."""
    options = {} if options is None else options
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise UsageError(
            "options is a mapping of names to values, such as {'rate': '5/s', 'memory': '512MB'}, "
            f"not {clipped(repr(options))}"
        )
    return {**options, **{key: value for key, value in given.items() if value is not None}}


def connect(
    address: str | None = None,
    authkey: bytes | str | None = None,
    tls: str | os.PathLike[str] | None = None,
) -> Session:
    """Connect to a farm.

    Args:
        address: ``HOST``, ``HOST:PORT`` or ``[IPV6]:PORT``; ``FARM_HOST`` or 127.0.0.1:7077 if
            not given.
        authkey: the key; as on the command line if not given (``FARM_AUTHKEY``,
            ``FARM_AUTHKEY_FILE``, the config directory).
        tls: the directory of certificates, instead of a key; ``FARM_TLS`` if neither is given.

    Raises:
        ServerUnreachableError, NotAuthorisedError, ConfigError

    Example:
        >>> session = farm.connect("node7", tls="farm-tls")     # doctest: +SKIP
    """
    settings = config.Settings((config.HOST, config.TLS), {"host": address}, os.environ)
    where = parse(settings[config.HOST])
    directory = None if authkey is not None else settings[config.TLS] if tls is None else Path(tls)
    if directory is not None:
        return Session(Link(where, CertificateCredentials(directory, identity.FOR_CLIENT)))
    if authkey is not None:
        key = authkey.strip().encode() if isinstance(authkey, str) else authkey
        return Session(Link(where, key))
    return Session(Link(where, KeyCredentials(lambda: access.find_key(None, os.environ)[0])))
