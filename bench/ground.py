"""What all contenders stand on: one key, one pool of tokens, one upstream."""

import contextlib
import json
import sqlite3
import time
import urllib.request
from pathlib import Path

import machine
import programs
from programs import Program

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target" / "symbols"
BINARY = TARGET / "sidegate"
TOOLS = TARGET / "sidegate-bench"
ISSUER = "https://sidegate.test"
AUDIENCE = "api"
POOL = 1000


class Ground:
    """A folder with the key, the tokens and a store to copy; the upstream runs as long as it is open."""

    def __init__(self, folder, unseen):
        self.folder = folder
        folder.mkdir(parents=True)
        self.upstream_port = programs.free_port()
        self.key = folder / "key.pem"
        self.tokens = folder / "tokens"
        self.unseen = folder / "unseen"
        self.store = folder / "store.db"
        self._make_key()
        self._make_store()
        self.mint(self.tokens, POOL)
        self.mint(self.unseen, unseen)
        self.upstream = self._start_upstream()

    def _make_key(self):
        programs.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key)
        programs.run("openssl", "pkey", "-in", self.key, "-pubout", "-out", self.folder / "public.pem")

    def _make_store(self):
        """A store that has the key, and the key set that it publishes."""
        config = self.folder / "config.toml"
        config.write_text(sidegate_config(self.store, self.folder, listen=programs.free_port(),
                                          health=programs.free_port(), upstream=1), encoding="utf-8")
        programs.run(BINARY, "--config", config, "migrate", cwd=self.folder)
        said = programs.run(BINARY, "--config", config, "keys", "import", self.key, cwd=self.folder)
        self.kid = said.split()[1]
        with Sidegate(config, self.folder) as (_, port):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/.well-known/jwks.json") as answer:
                keys = json.load(answer)["keys"]
        (self.folder / "jwks.json").write_text(json.dumps({"keys": [key for key in keys if key["kid"] == self.kid]}),
                                               encoding="utf-8")
        with contextlib.closing(sqlite3.connect(self.store)) as store:
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def mint(self, out, count):
        programs.run(TOOLS, "tokens", "--key", self.key, f"--kid={self.kid}", "--issuer", ISSUER,
                     "--audience", AUDIENCE, "--count", count, "--out", out)

    def _start_upstream(self):
        scratch = self.folder / "upstream"
        scratch.mkdir()
        conf = scratch / "nginx.conf"
        conf.write_text(fill("upstream.conf", scratch=scratch, ground=self.folder, port=self.upstream_port))
        program = Program(["nginx", "-p", scratch, "-c", conf], scratch / "output", core=machine.OTHER_CORE,
                          urgency=1)
        program.wait_for(self.upstream_port)
        return program

    def close(self):
        self.upstream.stop()


def fill(template, **values):
    """A file of `peers/` with `{name}` replaced."""
    text = (ROOT / "bench" / "peers" / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def sidegate_config(store, folder, *, listen, health, upstream, routes=1, more="",
                    connections=None):
    """One worker thread, no access log, as the others have none; connections are never closed for their age."""
    rules = "\n".join(f'[[route]]\npath = "/service-{number}/{{id}}/items/*"\nroles = ["reader"]\n'
                      for number in range(routes - 1))
    url = store if "://" in str(store) else f"sqlite:{store}"
    pool = f"connections = {connections}" if connections else ""
    return f"""
[server]
public_url = "{ISSUER}"
listen = ["http://127.0.0.1:{listen}"]
workers = 1
[health]
listen = "http://127.0.0.1:{health}"
[admin]
listen = ""
[upstream.default]
url = "http://127.0.0.1:{upstream}"
[limit]
requests_per_connection = 4294967295
[store]
url = "{url}"
{pool}
[key]
secret_files = ["{folder}/secret"]
[access_token]
audience = "{AUDIENCE}"
ttl = "24h"
[log]
access = false
[audit]
output = ""
{more}
[[route]]
path = "/api/*"
roles = ["reader"]
{rules}
"""


class Sidegate:
    """A sidegate that serves the configuration; gives itself and its port, and how long it took to be ready."""

    def __init__(self, config, folder, binary=BINARY):
        self.config, self.folder, self.binary = config, folder, binary
        text = config.read_text(encoding="utf-8")
        self.port = int(text.split('listen = ["http://127.0.0.1:')[1].split('"')[0])
        self.health = int(text.split('[health]\nlisten = "http://127.0.0.1:')[1].split('"')[0])

    def __enter__(self):
        start = time.monotonic()
        self.program = Program([self.binary, "--config", self.config, "run"], self.folder / "output", cwd=self.folder)
        self.program.wait_for(self.port)
        while not self._ready():
            if self.program.process.poll() is not None or time.monotonic() - start > 120:
                raise self.program.failure("is not ready")
            time.sleep(0.002)
        self.ready_after = time.monotonic() - start
        return self.program, self.port

    def _ready(self):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=5).close()
            return True
        except OSError:
            return False

    def __exit__(self, *_):
        self.program.stop()


def revoke(store, count):
    """Writes so many live revocations of sessions that nobody has."""
    until = int((time.time() + 12 * 3600) * 1000)
    rows = ((number.to_bytes(16, "big"), until) for number in range(1, count + 1))
    # Closing it leaves one file, without a log beside it.
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.executemany(
            "INSERT INTO revocation (realm, kind, session, until) VALUES ('default', 'session', ?, ?)", rows)
        connection.commit()
