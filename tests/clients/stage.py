"""What a case plays against, and what it may do beside using its client."""

import json
import os
import time
import urllib.request

STAGE = json.loads(os.environ["STAGE"])
GATE = STAGE["gate"]
USER, PASSWORD = STAGE["user"], STAGE["password"]

# The id that sidegate gives its own clients by default.
CLIENT_ID = "first-party"

# Longer than an access token lives.
EXPIRY = 11 * 60


def time_passes(seconds):
    """For everybody: the server's clock goes on, and this process's."""
    request = urllib.request.Request(f"{STAGE['control']}/advance/{seconds}", method="POST")
    urllib.request.urlopen(request).close()
    now = time.time
    time.time = lambda: now() + seconds


def seen():
    """What reached the API."""
    with urllib.request.urlopen(f"{STAGE['control']}/seen") as answer:
        return json.load(answer)
