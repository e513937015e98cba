"""What a request costs on its way through: checked, against unchecked, and against other proxies."""

import json
from dataclasses import asdict

import ground as grounds
import programs
from contenders import bare, peer, sidegate
from ground import ROOT
from machine import PROXY_CORE, said
from rounds import measure


def check(ground, options):
    result = table(ground, options, "What the check costs", """
Every contender proxies to the same upstream with one worker thread on a core of its own, and gets the same requests over
32 kept-alive connections, each with the next of 1,000 ES256 tokens; *unseen* gets each token once.""", [
        bare(),
        bare(own_loop=True),
        sidegate(),
        sidegate("sidegate, every token unseen", unseen=True),
    ])
    said = (programs.run(grounds.TOOLS, "verify", "--key", ground.key, "--tokens", ground.tokens, core=PROXY_CORE)
            for _ in range(options.rounds))
    result["verify_us"] = [json.loads(line)["cpu_us"] for line in said]
    return result


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


ENVOY = ROOT / "target" / "bench-python" / "bin" / "envoy"


def peers(ground, options):
    envoy = [str(ENVOY), "-c", "{scratch}/envoy.json", "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    nginx = ["nginx", "-p", "{scratch}", "-c", "{scratch}/nginx-lua.conf"]
    apache = ["apache2", "-d", "{scratch}", "-f", "{scratch}/apache.conf", "-D", "FOREGROUND"]
    result = table(ground, options, "Against other proxies", """
All check the signature, the issuer, the expiry and, where they can, the audience of the same 1,000 ES256 tokens, and tell
the upstream who asks. sidegate and Envoy can remember what they have checked; of the two, only sidegate then still asks
whether the token has been revoked. The others know no revocation either.""", [
        bare(),
        sidegate(),
        sidegate("sidegate, every token unseen", unseen=True),
        peer("Envoy, with its cache", "envoy.json", envoy, cache='"jwt_cache_config": { "jwt_cache_size": 1000 },'),
        peer("Envoy, without", "envoy.json", envoy, cache=""),
        peer("HAProxy", "haproxy.cfg", ["haproxy", "-db", "-f", "{scratch}/haproxy.cfg"]),
        peer("HAProxy, no check", "haproxy-plain.cfg", ["haproxy", "-db", "-f", "{scratch}/haproxy-plain.cfg"],
             checks=False),
        peer("nginx with Lua", ["nginx-lua.conf", "jwt.lua"], nginx),
        peer("Apache with mod_oauth2", "apache.conf", apache),
    ])
    result["versions"] = {
        "Envoy": said(str(ENVOY), "--version").split("version: ")[-1],
        "HAProxy": said("haproxy", "-v"),
        "nginx": said("nginx", "-v"),
        "Apache": said("apache2", "-v"),
    }
    return result


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


BENCHMARKS = {"check": check, "peers": peers, "revocations": revocations, "routes": routes}
