"""Programs that run beside us: each on its core, each gone when we are."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time

import machine

FIRST_PORT = 17000
LAST_PORT = 17999


class Failed(Exception):
    """A program did not do what a benchmark needs; the text says which and what it printed."""


class Program:
    """A program in the background, its output in a file."""

    def __init__(self, command, output, core=machine.PROXY_CORE, urgency=0, **options):
        self.command = [str(part) for part in command]
        self.output = output
        with open(output, "w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                preexec_fn=lambda: settle(core, urgency), **options)

    @property
    def pid(self):
        return self.process.pid

    def wait_for(self, port, seconds=60):
        """Returns when it accepts connections; says how long that took."""
        start = time.monotonic()
        while True:
            if self.process.poll() is not None:
                raise self.failure("ended")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return time.monotonic() - start
            except OSError:
                if time.monotonic() - start > seconds:
                    raise self.failure(f"does not listen on {port}") from None
                time.sleep(0.002)

    def failure(self, what):
        printed = self.output.read_text(encoding="utf-8", errors="replace")[-2000:]
        return Failed(f"{' '.join(self.command)}: {what}\n{printed}")

    def stop(self):
        """Ends it and what it started, and waits for that."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def settle(core, urgency=0):
    """In the child: a group of its own, on its core, ended by the kernel when this process ends. What is urgent does not
    wait for what is less so on the same core: where that is permitted."""
    os.setsid()
    os.sched_setaffinity(0, {core})
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if urgency:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(urgency))


def run(*command, core=machine.OTHER_CORE, urgency=0, seconds=60, **options):
    """Runs a program to its end and gives what it printed."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False,
                              preexec_fn=lambda: settle(core, urgency), **options)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)}: took longer than {seconds} s") from None
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout


def free_port():
    """A port that nobody listens on, and that none is given twice in one run."""
    while True:
        free_port.next = max(FIRST_PORT, getattr(free_port, "next", FIRST_PORT)) + 1
        if free_port.next > LAST_PORT:
            free_port.next = FIRST_PORT
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", free_port.next))
            except OSError:
                continue
            return free_port.next
