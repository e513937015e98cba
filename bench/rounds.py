"""Measures contenders in turn, round by round, so that a moment in which the machine is slow harms all of them alike."""

import http.client
import json
import math
import shutil
import statistics
from dataclasses import dataclass, field

import ground as grounds
import machine
import programs

CONNECTIONS = 32
WARM_SECONDS = 1


@dataclass
class Sample:
    """What one contender did in one round."""

    per_second: float       # answers, as fast as it goes
    cpu_us: float           # of the proxy, for each of them
    busy: float             # share of its core that the proxy used meanwhile: the proxy was the limit if it is near 1
    p50_us: float           # at the fixed rate
    p99_us: float
    p999_us: float
    cpu_at_rate_us: float
    peak_bytes: int


@dataclass
class Series:
    """All that was measured of one contender."""

    name: str
    samples: list = field(default_factory=list)

    def values(self, figure):
        return [getattr(sample, figure) for sample in self.samples]

    def median(self, figure):
        return statistics.median(self.values(figure))


def measure(contenders, ground, *, rounds, seconds, rate, say):
    """The series of every contender, and the rate that latencies were taken at."""
    slowest = half_of_slowest(contenders, ground, say)
    rate = slowest if rate is None else rate
    say(f"latencies at {rate} requests per second")
    series = {contender.name: Series(contender.name) for contender in contenders}
    for number in range(rounds):
        # Every other round backwards: who comes first is not always the same.
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            sample = one(contender, ground, seconds, rate)
            series[contender.name].samples.append(sample)
            say(f"round {number + 1}: {contender.name}: {sample.per_second:.0f} req/s, {sample.cpu_us:.1f} µs CPU, "
                f"busy {sample.busy:.0%}; at the rate p50 {sample.p50_us:.0f} p99 {sample.p99_us:.0f} "
                f"p99.9 {sample.p999_us:.0f} µs; peak {sample.peak_bytes / 2**20:.1f} MiB")
    return list(series.values()), rate


def half_of_slowest(contenders, ground, say):
    """A round that does not count, in which everybody shows that they check."""
    rates = {}
    for contender in contenders:
        with fresh_folder(ground) as folder, contender.start(ground, folder) as (_, port):
            must_check(port, ground, contender)
            rates[contender.name] = load(port, ground, contender, seconds=2, skip=0)["per_second"]
        say(f"warm-up: {contender.name}: {rates[contender.name]:.0f} req/s")
    return max(100, round(min(rates.values()) / 2, -2).__int__())


def one(contender, ground, seconds, rate):
    with fresh_folder(ground) as folder, contender.start(ground, folder) as (program, port):
        sent = load(port, ground, contender, seconds=WARM_SECONDS, skip=0)["requests"]
        before = machine.cpu_nanos(program.pid)
        flat_out = load(port, ground, contender, seconds=seconds, skip=sent)
        cpu = machine.cpu_nanos(program.pid) - before
        sent += flat_out["requests"]

        before = machine.cpu_nanos(program.pid)
        paced = load(port, ground, contender, seconds=seconds, rate=rate, skip=sent)
        cpu_at_rate = machine.cpu_nanos(program.pid) - before
        return Sample(
            per_second=flat_out["per_second"],
            cpu_us=cpu / flat_out["requests"] / 1000,
            busy=cpu / 1e9 / flat_out["seconds"],
            p50_us=paced["p50_us"],
            p99_us=paced["p99_us"],
            p999_us=paced["p999_us"],
            cpu_at_rate_us=cpu_at_rate / paced["requests"] / 1000,
            peak_bytes=machine.memory(program.pid),
        )


def must_check(port, ground, contender):
    """A good token passes; with another's signature, or none at all, nothing does that should not."""
    one, other = ground.tokens.read_text(encoding="utf-8").splitlines()[:2]
    forged = f"{one.rsplit('.', 1)[0]}.{other.rsplit('.', 1)[1]}"
    refused = 401 if contender.checks else 200
    for token, expected in [(one, 200), (forged, refused), ("", refused), (one, 200)]:
        status = asked(port, token)
        if status != expected:
            raise programs.Failed(f"{contender.name}: answered {status} where {expected} is right")


def asked(port, token):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/api/notes", headers={"Authorization": f"Bearer {token}"} if token else {})
    status = connection.getresponse().status
    connection.close()
    return status


class fresh_folder:
    """An empty folder for one start of one contender."""

    def __init__(self, ground):
        self.path = ground.folder / "running"

    def __enter__(self):
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def load(port, ground, contender, *, seconds, skip, rate=None, connections=CONNECTIONS):
    """At a fixed rate; without one as fast as it goes."""
    pool = ["--tokens", ground.unseen, "--once"] if contender.unseen else ["--tokens", ground.tokens]
    pace = [] if rate is None else ["--rate", rate, "--requests", rate * seconds]
    return checked(json.loads(programs.run(
        grounds.TOOLS, "load", "--address", f"127.0.0.1:{port}", *pool, "--skip", skip, "--seconds", seconds + 2 * bool(pace),
        "--connections", connections, *pace, urgency=2)), contender.name)


def checked(result, name):
    """Only good answers count, and there may be no others."""
    if result["other_statuses"] or result["errors"]:
        raise programs.Failed(f"{name}: not every answer was good: {result}")
    return {**result, "per_second": result["requests"] / result["seconds"]}


def spread(values):
    """How far the values lie apart: half their range, as a share of the median."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / 2 / middle if middle else math.nan
