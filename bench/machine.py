"""What the machine is, and what a process costs it."""

import os
import platform
import subprocess
import time
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
# The proxy has one core to itself; the upstream and the load share the other.
PROXY_CORE = CORES[-1]
OTHER_CORE = CORES[0]


def processes(root):
    """A process and all that descend from it."""
    found, open_ = [], [root]
    while open_:
        pid = open_.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            open_.extend(int(child) for child in children.read_text().split())
    return found


def cpu_nanos(root):
    """CPU time of a process and its descendants, threads that have ended included."""
    # The kernel's number for the CPU clock of another process: see clock_getcpuclockid(3).
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in processes(root))


def memory(root, field="VmHWM"):
    """Bytes in memory: `VmRSS` now, `VmHWM` at most."""
    total = 0
    for pid in processes(root):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                total += int(line.split()[1]) * 1024
    return total


def facts():
    """What a figure from here depends on."""
    model = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processor": f"{model[0] if model else platform.machine()}, {len(CORES)} cores",
        "memory": f"{memory_kib / 1024 / 1024:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": said("rustc", "--version"),
        "commit": said("git", "describe", "--always", "--dirty", "--exclude=*"),
    }


def said(*command):
    """The first line that a command prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"
