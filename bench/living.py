"""What it takes to be there: the start, and the memory."""

import json
import shutil
import statistics
import time

import ground as grounds
import machine
import programs
from ground import Sidegate
from programs import Program
from refreshing import add, row, say

STARTS = 20
CONNECTIONS = 1_000
TOKENS = 10_000


def start(ground, options):
    folder = ground.folder / "starting"
    folder.mkdir()
    shutil.copy(ground.store, folder / "store.db")
    shutil.copy(ground.folder / "secret", folder / "secret")
    config = folder / "config.toml"
    config.write_text(grounds.sidegate_config(
        folder / "store.db", folder, listen=programs.free_port(), health=programs.free_port(),
        upstream=ground.upstream_port), encoding="utf-8")
    measured = row("sidegate")
    for _ in range(STARTS):
        sidegate = Sidegate(config, folder)
        with sidegate:
            add(measured, start_ms=sidegate.ready_after * 1000)
    say(f"ready after {statistics.median(measured['values']['start_ms']):.0f} ms")
    tokens = folder / "tokens"
    ground.mint(tokens, TOKENS)
    for _ in range(options.rounds):
        with Sidegate(config, folder) as (program, port):
            time.sleep(1)
            add(measured, idle_bytes=machine.memory(program.pid, "VmRSS"))
            add(measured, held_bytes=held(program, port, tokens, folder))
        say(f"{measured['values']['idle_bytes'][-1] / 2**20:.1f} MiB idle, {measured['values']['held_bytes'][-1] / 2**20:.1f} "
            f"MiB with {CONNECTIONS:,} connections and {TOKENS:,} tokens")
    stripped = folder / "sidegate"
    programs.run("strip", "-o", stripped, grounds.BINARY)
    add(measured, binary_bytes=stripped.stat().st_size)
    return {
        "title": "What it takes to be there",
        "about": f"""From the start of the process to `/readyz` with a SQLite store that exists, {STARTS} times; resident memory
a second after that, and with {CONNECTIONS:,} kept-alive connections, all of which were in use at once, and {TOKENS:,} tokens
that were verified; the binary without symbols.""".replace("\n", " "),
        "kind": "table",
        "columns": [
            ["start_ms", "ready after ms", 0, 1],
            ["idle_bytes", "idle MiB", 1, 1 / 2**20],
            ["held_bytes", "in use MiB", 1, 1 / 2**20],
            ["binary_bytes", "binary MiB", 1, 1 / 2**20],
        ],
        "rows": [measured],
        "note": "Medians.",
        "plots": [],
    }


def held(program, port, tokens, folder):
    """Resident memory while the connections are open and idle."""
    command = [grounds.TOOLS, "load", "--address", f"127.0.0.1:{port}", "--tokens", tokens, "--requests", 2 * TOKENS,
               "--connections", CONNECTIONS, "--linger", 30]
    with Program(command, folder / "load", core=machine.OTHER_CORE) as load:
        said = printed(load)
        if said["errors"] or said["other_statuses"]:
            raise load.failure("not every answer was good")
        time.sleep(1)
        return machine.memory(program.pid, "VmRSS")


def printed(load, seconds=120):
    """What a load prints at its end."""
    begin = time.monotonic()
    while True:
        text = load.output.read_text(encoding="utf-8")
        if text.endswith("\n"):
            try:
                return json.loads(text)
            except ValueError:
                raise load.failure("printed something else") from None
        if load.process.poll() is not None or time.monotonic() - begin > seconds:
            raise load.failure("printed nothing")
        time.sleep(0.01)


BENCHMARKS = {"start": start}
