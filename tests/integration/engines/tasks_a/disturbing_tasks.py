"""Tasks that get in the way of their slot's own work."""

import contextlib
import os
import signal
import stat
import threading
import time
from pathlib import Path


class Late(Exception):
    pass


def _late(*_):
    raise Late("late")


def alarm_left(index):
    """Leave an alarm that raises behind, to come at some moment soon."""
    signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, 3e-6 * (1 + index % 17))
    return index


def alarm_while_sent(index, directory):
    """A signal comes while the result is sent, to an owner that does not read.

    To the thread that sends: to another one, it would be seen when the message has been sent.
    """

    def late(*_):
        Path(directory, "late").touch()
        raise Late("late")

    signal.signal(signal.SIGALRM, late)
    main = threading.main_thread().ident
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGALRM)).start()
    return bytes(2_000_000)


class Endless:
    def __reduce__(self):
        time.sleep(3600)


class EndlessError(Exception):
    def __str__(self):
        time.sleep(3600)


def endless(index, way):
    """Task 3 is over, or fails, and hangs before that can be told."""
    if index == 3 and way == "exception":
        raise EndlessError
    if index == 2 and way != "exception":
        return Endless()
    if index == 3 and way != "result":
        time.sleep(0.2)  # the second thread hangs by now, in the result of task 2
    if index == 3 and way == "result and exception":
        raise ValueError
    return index


def scribble(index, words):
    """Task 2 writes to the slot's own pipe."""
    if index == 2:
        for number in range(200, 220):
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    os.write(number, words)
    return index


TIMERS = {
    signal.ITIMER_REAL: signal.SIGALRM,
    signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
    signal.ITIMER_PROF: signal.SIGPROF,
}


def timers_left(index):
    """Leave timers behind that raise a minute later."""
    for timer, number in TIMERS.items():
        signal.signal(number, _late)
        signal.setitimer(timer, 60.0)


def timers_found(index):
    return [timer for timer in TIMERS if signal.getitimer(timer) != (0.0, 0.0)]


def harm_descriptors(index, way):
    """Task 2 writes to, or closes, every descriptor that it finds."""
    if index == 2 and way == "write":
        for number in range(3, 256):
            with contextlib.suppress(OSError):
                os.write(number, b"x" * 64)
    elif index == 2:
        os.closerange(3, 1 << 16)
    return index
