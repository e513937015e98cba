"""What was aimed at, and what was reached: one table from every result that is there, and its short form in the README."""

import json
import statistics
from pathlib import Path

from ground import ROOT

BEGIN, END = "<!-- figures: written by ./bench/run -->", "<!-- end of the figures -->"


class Results:
    """Medians of what the benchmarks wrote. Asking for what is not there raises `KeyError`."""

    def __init__(self, folder):
        self.folder = folder
        self.read = {}

    def result(self, name):
        if name not in self.read:
            file = self.folder / f"{name}.json"
            if not file.exists():
                raise KeyError(name)
            self.read[name] = json.loads(file.read_text(encoding="utf-8"))
        return self.read[name]

    def series(self, name):
        """Contender: figure: median."""
        return {one["name"]: {figure: statistics.median(sample[figure] for sample in one["samples"])
                              for figure in one["samples"][0]} for one in self.result(name)["series"]}

    def rows(self, name):
        return {row["name"]: {figure: statistics.median(values) for figure, values in row["values"].items() if values}
                for row in self.result(name)["rows"]}


def cached(results, figure):
    return results.series("check")["sidegate, cached"][figure]


def added(results, figure):
    """By the check, over the proxy library alone."""
    return cached(results, figure) - results.series("check")["bare Pingora"][figure]


def unseen(results):
    """What a token that was not seen before costs more than one that was, for each verification of the library's own."""
    more = results.series("check")["sidegate, every token unseen"]["cpu_us"] - cached(results, "cpu_us")
    return more / statistics.median(results.result("check")["verify_us"])


def best_peer(results):
    """The name and the CPU time of whoever else checks tokens at the least."""
    peers = {name: one["cpu_us"] for name, one in results.series("peers").items()
             if not name.startswith(("bare", "sidegate")) and "no check" not in name}
    name = min(peers, key=peers.get)
    return name, peers[name]


def over_best(results):
    name, cpu = best_peer(results)
    ratio = cpu / results.series("peers")["sidegate, cached"]["cpu_us"]
    return ratio, f"{ratio:.2f} × {name}"


def ratio(results, benchmark, one, other):
    series = results.series(benchmark)
    return series[one]["cpu_us"] / series[other]["cpu_us"]


def revocation_bytes(results):
    series = results.series("revocations")
    more = series["sidegate, 1,000,000 revocations"]["peak_bytes"] - series["sidegate, no revocation"]["peak_bytes"]
    return more / 1_000_000


def refreshes(results, figure, choose):
    rows = results.rows("refresh")
    return choose(row[figure] for row in rows.values() if figure in row)


def start(results, figure, factor=1):
    return results.rows("start")["sidegate"][figure] * factor


# What is measured, the aim, whether it is a most or a least, how to find it, how to say it.
AIMS = [
    ("check", "CPU that the check of a remembered token adds to a request", "≤", 3, lambda r: added(r, "cpu_us"), "{:.1f} µs"),
    ("check", "CPU of such a request in all", "≤", 30, lambda r: cached(r, "cpu_us"), "{:.1f} µs"),
    ("check", "CPU that an unseen token adds to that, against the crypto library's own verification", "≤", 1.2, unseen,
     "{:.2f} ×"),
    ("check", "p50 latency that the check adds", "≤", 20, lambda r: added(r, "p50_us"), "{:.0f} µs"),
    ("check", "p99 latency that the check adds", "≤", 100, lambda r: added(r, "p99_us"), "{:.0f} µs"),
    ("peers", "requests for each CPU second, against the best of the others", "≥", 1.2, over_best, "{:.2f} ×"),
    ("revocations", "CPU with 1,000,000 live revocations", "≤", 1.02,
     lambda r: ratio(r, "revocations", "sidegate, 1,000,000 revocations", "sidegate, no revocation"), "{:.2f} ×"),
    ("revocations", "memory for each revocation", "≤", 400, revocation_bytes, "{:.0f} bytes"),
    ("routes", "CPU with 500 routes", "≤", 1.02,
     lambda r: ratio(r, "routes", "sidegate, 500 routes", "sidegate, 1 route"), "{:.2f} ×"),
    ("refresh", "refreshes on Postgres, against pgbench with the same statement, at the worst size", "≥", 0.7,
     lambda r: refreshes(r, "ratio", min), "{:.2f} ×"),
    ("refresh", "round trips to Postgres for a refresh", "≤", 1.05, lambda r: refreshes(r, "trips", max), "{:.2f}"),
    ("start", "from the start to ready", "≤", 100, lambda r: start(r, "start_ms"), "{:.0f} ms"),
    ("start", "binary, without symbols", "≤", 20, lambda r: start(r, "binary_bytes", 2**-20), "{:.1f} MiB"),
    ("start", "memory, idle", "≤", 15, lambda r: start(r, "idle_bytes", 2**-20), "{:.1f} MiB"),
    ("start", "memory with 1,000 connections and 10,000 remembered tokens", "≤", 40,
     lambda r: start(r, "held_bytes", 2**-20), "{:.1f} MiB"),
]


def write(folder):
    """The page of all aims, and, if it is the project's own, the table in the README."""
    results = Results(folder)
    rows = [row for row in (measured(results, *aim) for aim in AIMS) if row]
    lines = ["# Performance", "", "What sidegate aims at, and what was measured. Each figure has a page with its command, its "
             "machine and its spread; [bench/](../../bench/README.md) says how to measure it.", "",
             "| | aim | measured | |", "| --- | ---: | ---: | --- |"]
    lines += [f"| [{what}]({name}.md) | {aim} | {found} | {'met' if met else '**missed**'} |"
              for name, what, aim, found, met in rows]
    notes = folder / "notes.md"
    if notes.exists():
        lines += ["", notes.read_text(encoding="utf-8").strip()]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if folder.resolve() == (ROOT / "docs" / "performance").resolve():
        short = ["| | measured |", "| --- | ---: |"]
        short += [f"| {what} | {found} |" for _, what, _, found, _ in rows]
        replace(ROOT / "README.md", "\n".join(short))


def measured(results, name, what, sense, aim, find, form):
    """`None` if there is no result of it."""
    try:
        found = find(results)
    except KeyError:
        return None
    figure, said = found if isinstance(found, tuple) else (found, form.format(found))
    met = figure <= aim if sense == "≤" else figure >= aim
    return name, what, f"{sense} {form.replace('.0f', 'g').replace('.1f', 'g').replace('.2f', 'g').format(aim)}", said, met


def replace(file: Path, table):
    text = file.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest:
        return
    file.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")
