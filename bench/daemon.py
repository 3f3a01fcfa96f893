#!/usr/bin/python3
"""What `sluice serve` takes with 100 pipelines, and how quickly it answers while two of them load: daemon.py BIN FOLDER.

The environment names a PostgreSQL (PGHOST, PGUSER) into which the two load. Prints the rows of a table.
"""
import glob
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

ROUNDS = 20  # of starting
IDLE = 60  # seconds
LOADING = 20  # seconds
READY_EVERY, METRICS_EVERY = 0.02, 0.1  # seconds between requests

binaries, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def row(what, measured, goal=""):
    print(f"| {what} | {measured} | {goal} |", flush=True)


class Sandbox:
    """The APIs, with so many rows in a day of each of four accounts."""

    def __init__(self, rows):
        self.process = subprocess.Popen(
            [binaries / "sluice-sandbox", "--rows-per-day", str(rows), "--accounts", "4", "--report-delay", "0s"],
            stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().replace("listening on ", "").strip()


class Daemon:
    """`sluice serve` with the pipelines; `took` is how long it took to be ready."""

    def __init__(self, name, url, pipelines):
        self.port = 18321
        home = folder / name
        home.mkdir(exist_ok=True)
        config = home / "sluice.yaml"
        config.write_text(f"""
version: 1
server: {{listen: "127.0.0.1:{self.port}"}}
state: {{url: "sqlite://{home}/state.db"}}
sources:
  api: {{type: facebook_ads, access_token: {{env: TOKEN}}, base_url: "{url}", report: {{poll: 0s..0s}},
        rate_limit: {{rate: 100000/s, burst: 100000, target: 100%}}}}
sinks:
  file: {{type: sqlite, url: "sqlite://{home}/warehouse.db"}}
  server: {{type: postgres, url: "postgresql://bench@/postgres?host={folder}"}}
pipelines:
""" + "".join(pipelines))
        began = time.perf_counter()
        self.process = subprocess.Popen([binaries / "sluice", "-c", config, "serve"], stdin=subprocess.DEVNULL,
                                        stderr=open(home / "log", "a"))
        while not self.is_ready():
            if self.process.poll() is not None:
                raise SystemExit(f"sluice serve ended by itself:\n{(home / 'log').read_text()}")
            time.sleep(0.001)
        self.took = time.perf_counter() - began

    def ask(self, path, method="GET"):
        """The answer, by a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def is_ready(self):
        try:
            return self.ask("/readyz")[0] == 200
        except OSError:
            return False

    def timed(self, path):
        began = time.perf_counter()
        status, _ = self.ask(path)
        if status != 200:
            raise SystemExit(f"{path}: {status}")
        return time.perf_counter() - began

    def processor_seconds(self):
        """Of all its threads."""
        files = glob.glob(f"/proc/{self.process.pid}/task/*/schedstat")
        return sum(int(pathlib.Path(file).read_text().split()[0]) for file in files) / 1e9

    def memory(self):
        """Resident, in MB."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6

    def stop(self, by=signal.SIGTERM):
        self.process.send_signal(by)
        self.process.wait()


def at_new_year(number):
    return (f"  p{number}: {{source: api, sink: file, schedule: {{cron: \"0 0 1 1 *\"}}, freshness: 1d,\n"
            f"        streams: {{insights: {{level: ad, table: p{number}}}}}}}\n")


def loading(name):
    return (f"  {name}: {{source: api, sink: server, streams: {{insights: {{table: {name}, level: ad, window: {{lookback: 27d}},\n"
            "        fields: [campaign_id, adset_id, ad_id, campaign_name, adset_name, ad_name, impressions, clicks, spend,\n"
            "                 reach, frequency, cpc, cpm, ctr, inline_link_clicks]}}}\n")


def ask_first(first=True):
    """Probes come from other machines: how long this one waits for a processor here is not to be measured."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -10 if first else 0)
    except PermissionError:
        print("(not root: the times of answers include that the client waits for a processor)", flush=True)


def idle(url):
    hundred = [at_new_year(number) for number in range(100)]
    times = []
    for _ in range(ROUNDS):
        daemon = Daemon("idle", url, hundred)
        times.append(daemon.took * 1000)
        daemon.stop()
    row(f"start to ready with 100 pipelines: median, most of {ROUNDS}",
        f"{percentile(times, 50):.0f} ms, {max(times):.0f} ms", "under 200 ms")
    daemon = Daemon("idle", url, hundred)
    time.sleep(5)
    before = daemon.processor_seconds()
    time.sleep(IDLE)
    used = (daemon.processor_seconds() - before) / IDLE
    row("idle with 100 pipelines: memory", f"{daemon.memory():.1f} MB", "under 25 MB")
    for _ in range(10):
        daemon.ask("/metrics")
    row("the same, once `/metrics` was asked", f"{daemon.memory():.1f} MB")
    row(f"idle with 100 pipelines: processor, of one core, over {IDLE} s", f"{used * 100:.2f} %", "under 0.2 %")
    daemon.stop()


def under_load(url):
    names = ["one", "two"]
    daemon = Daemon("load", url, [at_new_year(number) for number in range(98)] + [loading(name) for name in names])
    for name in names:
        daemon.ask(f"/api/v1/pipelines/{name}/trigger", "POST")
    time.sleep(2)
    ask_first()
    used, took = daemon.processor_seconds(), {"/readyz": [], "/metrics": []}
    began = time.monotonic()
    asked = sorted([(at * READY_EVERY, "/readyz") for at in range(int(LOADING / READY_EVERY))] +
                   [(at * METRICS_EVERY, "/metrics") for at in range(int(LOADING / METRICS_EVERY))])
    for at, path in asked:
        time.sleep(max(0, began + at - time.monotonic()))
        took[path].append(daemon.timed(path) * 1000)
    used = (daemon.processor_seconds() - used) / (time.monotonic() - began)
    ask_first(False)
    for name in names:
        _, body = daemon.ask(f"/api/v1/pipelines/{name}")
        if not json.loads(body)["running"]:
            raise SystemExit(f"{name} ended while the answers were measured: give it more rows\n{body.decode()}")
    for path, goal in ("/readyz", "10 ms"), ("/metrics", "50 ms"):
        row(f"`{path}` while two pipelines load: p50, p99, most of {len(took[path])}",
            ", ".join(f"{percentile(took[path], percent):.1f} ms" for percent in (50, 99, 100)), f"p99 under {goal}")
    row("sluice's processor time meanwhile, of one core", f"{used * 100:.0f} %")
    daemon.stop(signal.SIGKILL)


small, large = Sandbox(10), Sandbox(40000)
try:
    for part in sys.argv[3:] or ["idle", "load"]:
        idle(small.url) if part == "idle" else under_load(large.url)
finally:
    small.process.kill()
    large.process.kill()
