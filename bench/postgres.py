"""A Postgres of our own, its files in a folder of ours. It refuses to run as root: then it runs as another user."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import machine
import programs
from programs import Program

SETTINGS = {
    "listen_addresses": "",
    "max_connections": 200,
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    # So that a table that is filled in one transaction costs no log.
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "shared_preload_libraries": "pg_stat_statements",
    "log_line_prefix": "@@ ",
}


def binary(name):
    """Of the newest version that is installed."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "postgres").exists()]
    newest = max(versions, key=lambda path: int(path.parent.name), default=None)
    found = newest / name if newest else shutil.which(name)
    if not found:
        raise programs.Failed(f"there is no {name}: install postgresql")
    return found


class Postgres:
    """A server as long as it is open, on a socket in its folder and on the core that the proxy does not use."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()
        self.user = {}
        if os.geteuid() == 0:
            account = next(account for account in map(find_account, ["postgres", "nobody"]) if account)
            os.chown(folder, account.pw_uid, account.pw_gid)
            self.user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self.port = programs.free_port()
        programs.run(binary("initdb"), "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale",
                     "-D", folder / "data", cwd=folder, **self.user)
        self._start()
        self.sql("CREATE ROLE sidegate LOGIN", database="postgres")
        self.sql("CREATE DATABASE sidegate OWNER sidegate", database="postgres")
        self.sql("CREATE EXTENSION pg_stat_statements")

    def _start(self):
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self.log = self.folder / "log"
        self.program = Program([binary("postgres"), "-D", self.folder / "data", "-k", self.folder, "-p", self.port,
                                *settings], self.log, core=machine.OTHER_CORE, cwd=self.folder, **self.user)
        start = time.monotonic()
        while subprocess.run([binary("pg_isready"), "-q", "-h", self.folder, "-p", str(self.port)], check=False).returncode:
            if self.program.process.poll() is not None or time.monotonic() - start > 60:
                raise self.program.failure("does not answer")
            time.sleep(0.05)

    @property
    def url(self):
        return f"postgres://sidegate@localhost/sidegate?host={self.folder}&port={self.port}"

    @property
    def place(self):
        """As the programs of Postgres take it."""
        return ["-h", self.folder, "-p", self.port]

    def sql(self, text, database="sidegate", seconds=600):
        """What the superuser gets for it: lines, with a tab between columns."""
        return programs.run(binary("psql"), *self.place, "-U", "postgres", "-qAtX", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                            "-d", database, "-c", text, seconds=seconds, cwd=self.folder, **self.user).strip()

    def statements_of(self, work):
        """Runs `work`, and gives what the server was asked meanwhile: texts, each with its parameters."""
        self._log_statements("all")
        begin = self.log.stat().st_size
        work()
        self._log_statements("none")
        with open(self.log, encoding="utf-8") as log:
            log.seek(begin)
            text = log.read() + "\n@@ "
        found = re.findall(r"@@ LOG:  execute [^:]+: (.*?)\n(?:@@ DETAIL:  parameters: (.*?)\n)?(?=@@ )", text, re.DOTALL)
        return [(statement, dict(re.findall(r"\$(\d+) = (NULL|'(?:[^']|'')*')", parameters)))
                for statement, parameters in found]

    def _log_statements(self, which):
        self.sql(f"ALTER SYSTEM SET log_statement = '{which}'")
        self.sql("SELECT pg_reload_conf()")
        # Sessions read it between two statements, when the signal has reached them.
        time.sleep(0.5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Its processes have groups of their own: it ends them.
        self.program.process.send_signal(signal.SIGQUIT)
        try:
            self.program.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.program.stop()


def find_account(name):
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
