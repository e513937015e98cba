"""What a request costs on its way through: checked, against unchecked, and against other proxies."""

from dataclasses import asdict

from contenders import bare, sidegate
from rounds import measure


def check(ground, options):
    return table(ground, options, "What the check costs", """
Every contender proxies to the same upstream with one worker thread on a core of its own, and gets the same requests over
32 kept-alive connections, each with the next of 1,000 ES256 tokens; *unseen* gets each token once.""", [
        bare(),
        bare(own_loop=True),
        sidegate(),
        sidegate("sidegate, every token unseen", unseen=True),
    ])


def revocations(ground, options):
    return table(ground, options, "What revocations cost", """
How many live revocations the process holds, none of them of a token that is sent.""", [
        bare(),
        sidegate("sidegate, no revocation"),
        sidegate("sidegate, 10,000 revocations", revocations=10_000),
        sidegate("sidegate, 1,000,000 revocations", revocations=1_000_000),
    ])


def routes(ground, options):
    return table(ground, options, "What routes cost", """
How many routes are configured; the requests match one of them.""", [
        bare(),
        sidegate("sidegate, 1 route"),
        sidegate("sidegate, 500 routes", routes=500),
    ])


def table(ground, options, title, about, contenders):
    if options.only:
        contenders = [contender for contender in contenders if options.only in contender.name]
    series, rate = measure(contenders, ground, rounds=options.rounds, seconds=options.seconds, rate=options.rate,
                           say=lambda line: print(f"bench:   {line}", flush=True))
    return {
        "title": title,
        "about": " ".join(about.split()),
        "kind": "proxies",
        "rate": rate,
        "rounds": options.rounds,
        "series": [{"name": one.name, "samples": [asdict(sample) for sample in one.samples]} for one in series],
    }


BENCHMARKS = {"check": check, "revocations": revocations, "routes": routes}
