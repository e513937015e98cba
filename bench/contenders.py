"""Who is measured: each a way to start a proxy in front of the ground's upstream."""

import contextlib
import shutil

import ground as grounds
import programs
from ground import Sidegate, fill
from programs import Program


class Contender:
    """`start(ground, folder)` is a context in which a program and its port are there."""

    def __init__(self, name, start, unseen=False, checks=True):
        self.name = name
        # Whether a forged token is refused.
        self.checks = checks
        self.start = start
        # Whether each token is sent only once.
        self.unseen = unseen


def bare(own_loop=False):
    @contextlib.contextmanager
    def start(ground, folder):
        port = programs.free_port()
        command = [grounds.TOOLS, "bare", "--listen", f"127.0.0.1:{port}",
                   "--upstream", f"127.0.0.1:{ground.upstream_port}", *(["--own-loop"] if own_loop else [])]
        with Program(command, folder / "output") as program:
            program.wait_for(port)
            yield program, port

    return Contender("bare Pingora, in a loop of its own" if own_loop else "bare Pingora", start, checks=False)


def sidegate(name="sidegate, cached", *, unseen=False, revocations=0, routes=1, more=""):
    @contextlib.contextmanager
    def start(ground, folder):
        store = folder / "store.db"
        made = ground.folder / f"store-{revocations}.db"
        if not made.exists():
            shutil.copy(ground.store, made)
            grounds.revoke(made, revocations)
        shutil.copy(made, store)
        shutil.copy(ground.folder / "secret", folder / "secret")
        config = folder / "config.toml"
        config.write_text(grounds.sidegate_config(
            store, folder, listen=programs.free_port(), health=programs.free_port(),
            upstream=ground.upstream_port, routes=routes, more=more), encoding="utf-8")
        with Sidegate(config, folder) as (program, port):
            yield program, port

    return Contender(name, start, unseen)


def peer(name, template, command, checks=True, **values):
    """A proxy with a configuration in `peers/`."""

    @contextlib.contextmanager
    def start(ground, folder):
        port = programs.free_port()
        filled = {"port": port, "upstream": ground.upstream_port, "scratch": folder, "ground": ground.folder,
                  **values}
        # Servers that give up being root write there as somebody else.
        folder.chmod(0o777)
        for file in [template] if isinstance(template, str) else template:
            (folder / file.rsplit("/", 1)[-1]).write_text(fill(file, **filled), encoding="utf-8")
        started = [part.replace("{scratch}", str(folder)) for part in command]
        with Program(started, folder / "output", cwd=folder) as program:
            program.wait_for(port)
            yield program, port

    return Contender(name, start, checks=checks)
