"""Runs the benchmarks that are named, or all, and writes what they found to docs/performance/."""

import argparse
import resource
import shlex
import shutil
import signal
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import aims
import living
import machine
import programs
import proxying
import refreshing
from ground import ROOT, Ground
from report import write

# Name: what is asked, how it is answered.
BENCHMARKS = {
    **proxying.BENCHMARKS,
    **refreshing.BENCHMARKS,
    **living.BENCHMARKS,
}


def main():
    options = parse()
    # Whoever ends us lets us clean up first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended"))
    # A thousand connections, and the programs inherit it.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or BENCHMARKS:
        scratch = Path(tempfile.mkdtemp(prefix="sidegate-bench-"))
        # Some servers give up being root, and read their configuration after that.
        scratch.chmod(0o755)
        ground = None
        try:
            print(f"bench: {name}", flush=True)
            ground = Ground(scratch / "ground", options.unseen)
            result = BENCHMARKS[name](ground, options)
            result.update({
                "name": name,
                "command": shlex.join(["./bench/run", *sys.argv[1:]]),
                "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
                "machine": machine.facts(),
            })
            write(result, options.out)
            aims.write(options.out)
        finally:
            if ground is not None:
                ground.close()
            shutil.rmtree(scratch, ignore_errors=True)


def parse():
    parser = argparse.ArgumentParser(prog="./bench/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; none: all")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender is measured")
    parser.add_argument("--seconds", type=int, default=4, help="how long each time")
    parser.add_argument("--rate", type=int, help="requests per second that latencies are taken at; without it half of "
                        "what the slowest contender can do")
    parser.add_argument("--unseen", type=int, default=120_000, help="tokens that are sent once")
    parser.add_argument("--sizes", type=sizes, default=[1_000, 100_000, 5_000_000], help="sessions that Postgres holds")
    parser.add_argument("--sqlite-sizes", type=sizes, default=[1_000, 100_000], help="sessions that SQLite holds")
    parser.add_argument("--only", help="only contenders with this in their name")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "performance", help="where results go")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    return options


def sizes(text):
    """Numbers with commas between them."""
    return [int(number) for number in text.split(",") if number]


if __name__ == "__main__":
    try:
        main()
    except programs.Failed as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        sys.exit("bench: ended")
