"""Who behaves while others do not: asks for `/health/live` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

ASK = """
import http.client, json, select, sys, time
times, failures = [], []
while not select.select([sys.stdin], [], [], 0.2)[0]:
    began = time.monotonic()
    try:
        line = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
        line.request("GET", "/health/live")
        status = line.getresponse().status
        line.close()
        if status != 200:
            failures.append(str(status))
    except (OSError, http.client.HTTPException) as error:
        failures.append(repr(error))
    times.append(time.monotonic() - began)
print(json.dumps([times, failures]))
"""


class Asker:
    """A process that asks for `/health/live` five times a second, each time on a new connection."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", ASK, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.times: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        said = self._process.communicate("", timeout=60)[0]
        self.times, self.failures = json.loads(said)
