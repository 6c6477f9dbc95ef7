"""What the slots run in the engine's tests."""

import asyncio
import contextlib
import ctypes
import fcntl
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

NAME = "a"


def square(index):
    return index * index


def noop(index):
    return None


def version(index):
    return NAME


async def later(index):
    await asyncio.sleep(0.001)
    return index + 1


class Doubler:
    def __init__(self, index):
        self.index = index

    def run(self):
        return self.index * 2


class AsyncDoubler(Doubler):
    async def run(self):
        await asyncio.sleep(0)
        return self.index * 2


class Process(multiprocessing.Process):
    def __init__(self, index):
        super().__init__()
        self.index = index

    def run(self):
        return self.index, os.getpid(), multiprocessing.current_process().pid


class Thread(threading.Thread):
    def __init__(self, index):
        super().__init__()
        self.index = index

    def run(self):
        return self.index, threading.current_thread() is threading.main_thread()


class NoRun:
    def __init__(self, index):
        pass


not_callable = 3


class Odd(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def raising(index):
    if index == 3:
        raise ValueError(f"bad {index}")
    if index == 4:
        sys.exit("leaving")
    if index == 5:
        raise KeyboardInterrupt
    if index == 6:
        raise Odd(1, 2)
    if index == 7:
        raise RuntimeError("x" * 3_000_000)
    return index


def unpicklable(index):
    if index % 5 == 2:
        return {"lock": threading.Lock()}
    return index


def large(index):
    return bytes(index * (1 << 20))


def seconds(index):
    time.sleep(0.1 if index == 1 else 0)
    return index


def nap(index):
    time.sleep(0.01)


def doze(seconds):
    time.sleep(seconds)


def mark(directory, index):
    """Leave one line for each attempt."""
    with Path(directory, "attempts").open("a") as file:
        file.write(f"{index}\n")


def die_at(index, victim, way):
    """One of many ends its process."""
    if index == victim and way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif index == victim and way == "exit":
        os._exit(1)
    elif index == victim:
        return len(bytearray(1 << 40))
    return index


def exit_at_two(index):
    if index == 2:
        os._exit(1)
    return index


def segfault(index):
    signal.raise_signal(signal.SIGSEGV)


def hang(index, directory):
    """Task 1 never ends and does not listen to SIGTERM."""
    mark(directory, index)
    if index == 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            pass
    return index


def begin(directory, index):
    """Leave the time at which this attempt began."""
    mark(directory, index)
    Path(directory, f"began-{index}").write_text(str(time.monotonic()))


def sleep_for_ever(index, directory):
    begin(directory, index)
    time.sleep(1000)


def ignore_sigterm(index, directory):
    begin(directory, index)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)


def block_signals(index, directory):
    begin(directory, index)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        time.sleep(1000)


def hold_interpreter(index, directory):
    """One C call that keeps all other threads out."""
    begin(directory, index)
    ctypes.PyDLL(None).sleep(1000)


def close_lifeline(index, directory):
    """The pipe by which the kernel sees the owner's end, the only one to read that high."""
    pipes = [number for number in range(200, 300) if Path(f"/proc/self/fd/{number}").is_fifo()]
    (found,) = (pipe for pipe in pipes if not fcntl.fcntl(pipe, fcntl.F_GETFL) & os.O_ACCMODE)
    os.close(found)
    begin(directory, index)
    time.sleep(1000)


def quick_then_busy(index, directory, last):
    """The last of these computes for ever, in Python."""
    mark(directory, index)
    while index == last:
        sum(range(1000))
    return index


def exit_on_term(index):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    time.sleep(100)


def wait_for(index, directory, last):
    """The last task ends when a file appears."""
    mark(directory, index)
    while index == last and not Path(directory, "go").exists():
        time.sleep(0.001)
    return index


def pid(index):
    return os.getpid()


def group(index):
    return os.getpid(), os.getpgid(0), os.getsid(0)


def standard(index):
    return sys.stdin.read(), os.read(0, 10), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def interrupt(index):
    os.kill(os.getpid(), signal.SIGINT)
    return index


def close_low_descriptors(index, directory, last):
    os.closerange(3, 100)
    return wait_for(index, directory, last)


def close_all_descriptors(index):
    os.closerange(3, 1000)
    time.sleep(100)


def descriptors_of_command(index):
    return subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True).stdout.split()


def fork_and_return_twice(index):
    if os.fork() == 0:
        return "child"
    return "parent"


def main_modules(index):
    modules = sys.modules.items()
    return sorted(name for name, module in modules if hasattr(module, "embedding_main_marker"))


def nested(index):
    with multiprocessing.Pool(2) as pool:
        return pool.map(square, range(3))


def environment(index, name):
    return os.environ.get(name)


def block_item(first, *, second=0):
    return first + second


async def leave_behind(index):
    running = len(asyncio.all_tasks())
    asyncio.get_running_loop().create_task(asyncio.sleep(100))
    return running


class NoRoom(MemoryError):
    """As numpy has one."""


kept = []


def soft_limit(index):
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


def allocate(index, sizes):
    """Allocate, and let go at once."""
    return len(bytearray(sizes[index] << 20))


def keep(index, sizes):
    """Allocate, and keep it in a global."""
    kept.append(bytearray(sizes[index] << 20))
    return os.getpid()


async def allocate_in_group(index):
    async def one():
        return bytearray(1 << 40)

    async with asyncio.TaskGroup() as group:
        group.create_task(one())


def own_kind(index):
    raise NoRoom("unable to allocate an array")


def lost_kind(index):
    """As CPython does where memory does not suffice for a traceback."""
    raise SystemError("error return without exception set")


def fill(index, depth=900):
    """Take memory down to the last byte, and keep it; a traceback of this takes some."""
    if depth:
        fill(index, depth - 1)
    size = 1 << 24
    while size:
        try:
            kept.append(bytearray(size))
        except MemoryError:
            size >>= 1
    while True:
        kept.append([None, index])


def fill_quietly(index, full):
    """One of many takes memory down to the last byte, and says nothing."""
    if index == full:
        with contextlib.suppress(MemoryError):
            fill(index)
    return str(index) * 1000


def full_result(index, sizes):
    """A result that fits the limit once, and not twice."""
    return b"x" * (sizes[index] << 20)


def abort_without_memory(index):
    """As a C library may that got no memory."""
    try:
        bytearray(1 << 40)
    except MemoryError:
        os.abort()
