"""What a refresh costs, against pgbench that runs the very same statement on the same table of the same server."""

import json
import re
import shutil
import statistics
import time

import ground as grounds
import machine
import programs
import sessions
from ground import Sidegate
from postgres import Postgres, binary
from rounds import checked

# Of the store, and of pgbench.
CONNECTIONS = 8
# To sidegate.
CLIENTS = 32
# A limit that is counted and never reached: here a few sessions are refreshed all the time.
MORE = '[rate]\nrefresh_per_session = "60000/1m"\n'


def say(line):
    print(f"bench:   {line}", flush=True)


def refresh(ground, options):
    rows, texts = [], {}
    with Postgres(ground.folder / "postgres") as postgres:
        folder = ground.folder / "on-postgres"
        config = configured(ground, folder, postgres.url)
        for size in options.sizes:
            with Sidegate(config, folder) as (program, port):
                rows += on_postgres(postgres, program, port, ground, folder, size, options, texts)
    for size in options.sqlite_sizes:
        rows.append(on_sqlite(ground, size, options))
    return {
        "title": "What a refresh costs",
        "about": f"""`/refresh` over {CLIENTS} connections, and pgbench with the statement that the server was seen to get
from `/refresh`, in turn, on the same table, both over {CONNECTIONS} connections to Postgres, which waits for the disk at each
commit as it does by default. Both change sessions that lie scattered over the table. Postgres has one core, sidegate and
its clients the other, or pgbench in their place.""".replace("\n", " "),
        "kind": "table",
        "rounds": options.rounds,
        "columns": [
            ["per_second", "refreshes/s", 0, 1],
            ["ratio", "of pgbench", 2, 1],
            ["cpu_us", "CPU µs", 0, 1],
            ["p50_ms", "p50 ms", 1, 1],
            ["p99_ms", "p99 ms", 1, 1],
            ["trips", "round trips", 2, 1],
            ["hot", "heap-only %", 1, 100],
        ],
        "rows": rows,
        "note": "*of pgbench*: of the same round. *CPU*: of the sidegate process for each refresh. *Round trips*: "
                "statements that the server counted for each refresh, those of the background included. *Heap-only*: "
                "updates of the table that changed no index, of both together.",
        "plots": [["per_second", "Refreshes per second"], ["ratio", "Refreshes for each of pgbench's"]],
        "statement": texts.get("statement", ""),
        "versions": {"Postgres": machine.said(str(binary("postgres")), "--version")},
    }


def configured(ground, folder, url, more=MORE, connections=CONNECTIONS):
    """A configuration with an empty store of this version."""
    folder.mkdir(exist_ok=True)
    shutil.copy(ground.folder / "secret", folder / "secret")
    config = folder / "config.toml"
    config.write_text(grounds.sidegate_config(
        url, folder, listen=programs.free_port(), health=programs.free_port(), upstream=ground.upstream_port, more=more,
        connections=connections), encoding="utf-8")
    programs.run(grounds.BINARY, "--config", config, "migrate", cwd=folder)
    return config


def on_postgres(postgres, program, port, ground, folder, size, options, texts):
    filling = sessions.Filling(size)
    tokens, hashes = sessions.make_tokens(filling, ground.folder / "secret", ground.folder)
    start = time.monotonic()
    sessions.fill_postgres(postgres, filling, hashes)
    say(f"{size:,} sessions on Postgres, after {time.monotonic() - start:.0f} s")
    script, values = statement_for_pgbench(postgres, port, tokens, filling, folder, texts)
    ours, theirs = row(f"sidegate, {size:,} sessions"), row(f"pgbench, {size:,} sessions")
    load(port, tokens, 1)
    before = updates(postgres)
    done = 0
    for number in range(options.rounds):
        pair = {}
        for who in ("sidegate", "pgbench") if number % 2 == 0 else ("pgbench", "sidegate"):
            if who == "sidegate":
                postgres.sql("SELECT pg_stat_statements_reset()")
                cpu = machine.cpu_nanos(program.pid)
                pair[who] = load(port, tokens, options.seconds)
                cpu = machine.cpu_nanos(program.pid) - cpu
                calls = float(postgres.sql("SELECT sum(calls) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid "
                                           "WHERE r.rolname = 'sidegate'"))
                done += pair[who]["requests"]
                add(ours, per_second=pair[who]["per_second"], cpu_us=cpu / pair[who]["requests"] / 1000,
                    p50_ms=pair[who]["p50_us"] / 1000, p99_ms=pair[who]["p99_us"] / 1000,
                    trips=calls / pair[who]["requests"])
            else:
                pair[who] = pgbench(postgres, script, values, options.seconds)
                done += pair[who]["requests"]
                add(theirs, per_second=pair[who]["per_second"])
        ratio = pair["sidegate"]["per_second"] / pair["pgbench"]["per_second"]
        add(ours, ratio=ratio)
        say(f"round {number + 1}: {pair['sidegate']['per_second']:.0f} refreshes/s, pgbench "
            f"{pair['pgbench']['per_second']:.0f}, ratio {ratio:.2f}; {ours['values']['cpu_us'][-1]:.0f} µs CPU, "
            f"{ours['values']['trips'][-1]:.2f} round trips")
    all_updates, hot = updates_after(postgres, before, done)
    add(ours, hot=hot / all_updates)
    return [ours, theirs]


def statement_for_pgbench(postgres, port, tokens, filling, folder, texts):
    """A script with the statement that a refresh was seen to run, and the values of its parameters."""
    # The first one after the start may find the session's keys and more missing.
    load(port, tokens, 1)
    seen = postgres.statements_of(lambda: load(port, tokens, 1, requests=1, clients=1))
    found = [(text, values) for text, values in seen if "UPDATE sidegate.session" in text]
    if len(found) != 1:
        raise programs.Failed(f"one refresh changed sessions {len(found)} times: {seen}")
    text, values = found[0]
    number = {name: next(number for number, value in values.items() if value == expected) for name, expected in {
        "address": "'127.0.0.1'", "realm": "'default'"}.items()}
    if number["realm"] != "1" or len(values) != 14 or "NULL" in values.values():
        raise programs.Failed(f"the statement is not the one that this benchmark knows: {text}\n{values}")
    values = {int(number): value[1:-1] for number, value in values.items()}
    # pgbench's rows: each has the same hash before and after, and is at generation 1 before and after.
    values.update({4: "0", 5: "\\x" + sessions.HASH, 6: "\\x" + sessions.HASH, 14: "-1"})
    del values[2]
    texts["statement"] = text.replace("\n\t", "\n")
    script = folder / "pgbench.sql"
    script.write_text(
        f"\\set g 2 + (random(1, {filling.count}) - 1) * {filling.step}\n"
        f"\\set p2 {sessions.ID.replace('(g ', '(:g ')}\n"
        + re.sub(r"\$(\d+)", lambda found: f":p{found[1]}::{kind(int(found[1]))}", text) + ";\n", encoding="utf-8")
    script.chmod(0o644)
    return script, values


def kind(number):
    """A parameter's type, that sidegate's driver says and pgbench does not."""
    return "bytea" if number in (2, 5, 6, 7, 11, 12) else "bigint" if number in (4, 8, 13, 14) else "text"


def load(port, tokens, seconds, requests=None, clients=CLIENTS):
    more = ["--requests", requests] if requests else []
    return checked(json.loads(programs.run(
        grounds.TOOLS, "load", "--address", f"127.0.0.1:{port}", "--refresh", tokens, "--seconds", seconds,
        "--connections", clients, *more, core=machine.PROXY_CORE)), "sidegate")


def pgbench(postgres, script, values, seconds):
    said = programs.run(binary("pgbench"), *postgres.place, "-U", "sidegate", "-n", "-M", "prepared", "-c", CONNECTIONS,
                        "-j", 1, "-T", seconds, "-f", script, *(part for number, value in values.items()
                                                                 for part in ("-D", f"p{number}={value}")),
                        "sidegate", core=machine.PROXY_CORE, seconds=seconds + 60, cwd=postgres.folder)
    return {"requests": int(re.search(r"actually processed: (\d+)", said)[1]),
            "per_second": float(re.search(r"tps = ([\d.]+) \(without", said)[1])}


def updates(postgres):
    return [int(count) for count in postgres.sql(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'session'").split("\t")]


def updates_after(postgres, before, done):
    """Sessions that have nothing to do report late what they did."""
    for _ in range(60):
        made, hot = (now - then for now, then in zip(updates(postgres), before))
        if made >= done:
            return made, hot
        time.sleep(0.5)
    raise programs.Failed(f"{done} refreshes changed {made} rows only")


def on_sqlite(ground, size, options):
    folder = ground.folder / f"on-sqlite-{size}"
    store = folder / "store.db"
    config = configured(ground, folder, store, connections=None)
    with Sidegate(config, folder):
        pass
    filling = sessions.Filling(size)
    tokens, hashes = sessions.make_tokens(filling, ground.folder / "secret", ground.folder)
    sessions.fill_sqlite(store, filling, hashes)
    measured = row(f"sidegate on SQLite, {size:,} sessions")
    with Sidegate(config, folder) as (program, port):
        load(port, tokens, 1)
        for _ in range(options.rounds):
            cpu = machine.cpu_nanos(program.pid)
            done = load(port, tokens, options.seconds)
            cpu = machine.cpu_nanos(program.pid) - cpu
            add(measured, per_second=done["per_second"], cpu_us=cpu / done["requests"] / 1000,
                p50_ms=done["p50_us"] / 1000, p99_ms=done["p99_us"] / 1000)
    say(f"{measured['name']}: {statistics.median(measured['values']['per_second']):.0f} refreshes/s")
    shutil.rmtree(folder)
    return measured


def row(name):
    return {"name": name, "values": {}}


def add(to, **values):
    for name, value in values.items():
        to["values"].setdefault(name, []).append(value)


BENCHMARKS = {"refresh": refresh}
