"""From ``module:qualified.name`` to something that can be called once per task."""

from __future__ import annotations

import asyncio
import difflib
import functools
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

from farm.engines.failure import CallError, trace_text

_SHOWN_PATHS = 8

Function = Callable[..., Any]


class CoroutineRunner:
    """One event loop for all coroutines of a slot; making one for each task would be slow."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run one task's coroutine to its end, and cancel what it left running."""
        loop = self._runner.get_loop()
        try:
            return loop.run_until_complete(coroutine)
        finally:
            leftovers = asyncio.all_tasks(loop)
            if leftovers:
                for task in leftovers:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*leftovers, return_exceptions=True))


def load(target: str, places: str | None) -> Any:
    """The object that ``target`` names.

    Args:
        target: ``module:qualified.name``.
        places: the directory of the batch's own files, for the message.

    Raises:
        CallError: there is no such module or name, or importing it fails.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise CallError("ResolveError", f"{target!r} is not of the form module:function")
    found: Any = _module(module_name, places)
    for step in name.split("."):
        try:
            found = getattr(found, step)
        except AttributeError as error:
            raise _no_name(module_name, name, step, found) from error
    return found


def as_function(found: Any, name: str, runner: CoroutineRunner, *, must_run: bool) -> Function:
    """What a task calls: coroutines are run to their end, classes with ``run()`` made and run.

    A subclass of `multiprocessing.Process` or `threading.Thread` is made, and its ``run()`` is
    called in the slot instead of being started.

    Args:
        found: a function, coroutine function, class or other callable.
        name: for messages.
        runner: runs the coroutines.
        must_run: a class without ``run()`` is an error, and not simply called.

    Raises:
        CallError: it cannot be called.
    """
    if inspect.isclass(found):
        run = getattr(found, "run", None)
        if callable(run):
            return _running_class(found, _is_async(run), runner)
        if must_run:
            raise CallError("ResolveError", f"the class {name} has no method run(); give it one")
    if not callable(found):
        raise CallError("ResolveError", f"{name} is a {type(found).__name__}, not a function")
    if not _is_async(found):
        function: Function = found
        return function

    def call(*args: Any, **kwargs: Any) -> Any:
        return runner.run(found(*args, **kwargs))

    return call


def _running_class(made: type, is_async: bool, runner: CoroutineRunner) -> Function:
    if is_async:
        return lambda *args, **kwargs: runner.run(made(*args, **kwargs).run())
    return lambda *args, **kwargs: made(*args, **kwargs).run()


def _is_async(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    called = function if inspect.isroutine(function) else type(function).__call__
    return inspect.iscoroutinefunction(called)


def _module(name: str, places: str | None) -> ModuleType:
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise _no_module(name, places) from error
        raise _import_failed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(name, error) from error


def _import_failed(name: str, error: BaseException) -> CallError:
    message = f"importing the module {name!r} failed: {type(error).__name__}: {error}"
    return CallError("ResolveError", message, trace_text(error))


def _no_module(name: str, places: str | None) -> CallError:
    looked = [path or "." for path in sys.path]
    shown = ", ".join(looked[:_SHOWN_PATHS]) + (", ..." if len(looked) > _SHOWN_PATHS else "")
    own = [module.name for module in pkgutil.iter_modules([places])] if places else []
    hint = _did_you_mean(name, own)
    return CallError(
        "ResolveError", f"there is no module {name!r} on this node{hint} (looked in {shown})"
    )


def _no_name(module: str, name: str, step: str, holder: Any) -> CallError:
    where = getattr(sys.modules.get(module), "__file__", None) or "built in"
    hint = _did_you_mean(step, [each for each in dir(holder) if not each.startswith("__")])
    return CallError(
        "ResolveError", f"the module {module!r} ({where}) has no function {name!r}{hint}"
    )


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""
