"""The programs that the tests run, and what they run them with."""
import datetime
import pathlib
import re
import socket
import subprocess
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "EAAcanary0123456789token"


def run(command, **options):
    """Its output; AssertionError with all it said where it fails."""
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                           text=True, **options)
    if ended.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {ended.returncode}\n{ended.stdout}")
    return ended.stdout


def built():
    """The folder of the newest build."""
    builds = [PROJECT / "build" / preset for preset in ("release", "dev")]
    builds = [build for build in builds if (build / "sluice").exists() and (build / "sluice-sandbox").exists()]
    if not builds:
        raise RuntimeError("sluice is not built: cmake --preset dev && cmake --build --preset dev")
    return max(builds, key=lambda build: (build / "sluice").stat().st_mtime)


def wait_until(what, seconds=30, why=lambda: ""):
    """What `what` gives, once it is neither false nor an error of the network or of a program that is not there yet."""
    end = time.monotonic() + seconds
    while True:
        try:
            if found := what():
                return found
        except (OSError, AssertionError):
            pass
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what.__doc__ or ''} {why()}")
        time.sleep(0.1)


def free_port():
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


class Api:
    """The simulated API; every report takes `delay`."""

    def __init__(self, delay):
        today = datetime.datetime.now(datetime.timezone.utc).date()
        self._process = subprocess.Popen(
            [built() / "sluice-sandbox", "--token", TOKEN, "--today", str(today), "--accounts", "2", "--ads", "50",
             "--report-delay", delay, "--exit-with-parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = re.search(r"http://\S+", self._process.stdout.readline())[0]

    def stop(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def configuration(port, api, folder, schedule, token):
    return f"""
version: 1
server: {{listen: "127.0.0.1:{port}", drain_timeout: 30s}}
state: {{url: "sqlite://{folder}/state.db"}}
sources:
  meta: {{type: facebook_ads, base_url: "{api}", access_token: {token}, report: {{poll: 100ms..200ms}},
         rate_limit: {{rate: 200/s, burst: 200}}}}
sinks:
  warehouse: {{type: sqlite, url: "sqlite://{folder}/warehouse.db"}}
pipelines:
  facebook:
    source: meta
    sink: warehouse
    schedule: {schedule}
    streams:
      campaigns: {{}}
      insights: {{level: ad, window: {{lookback: 2d}}}}
"""
