"""A whole small world for a fault: the simulated APIs, a sink, and a sluice.yaml with a pipeline of each connector."""
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from checker import Contents, Footprint, Layout, faults_of
from programs import TODAY, TOKEN, Api, Program, built, fetch, free_port
from sinks import Postgres, Sqlite

DAYS = 4  # before today; with a first day, all runs load the same days, however many of them it takes
PIPELINES = ("facebook", "google", "app")
LAYOUT = {
    "meta_campaigns": Layout("account_id", None),
    "meta_insights": Layout("account_id", "date_start"),
    "google_campaigns": Layout("customer_id", None),
    "google_campaign_performance": Layout("customer_id", "segments_date"),
    "app_events": Layout("event_name", "event_date"),
    "app_event_counts": Layout("event_name", "event_date"),
}
ENVIRONMENT = {"TOKEN": TOKEN, "REFRESH": "sandbox-refresh"}
FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def streams_of(pipeline):
    window = {"start": TODAY - datetime.timedelta(DAYS)}
    a_day = {**window, "lookback": "2d", "slice": "1d"}
    return {
        "facebook": {"campaigns": {}, "insights": {"level": "ad", "window": {**window, "lookback": "2d"}}},
        "google": {"campaigns": {}, "campaign_performance": {"window": a_day}},
        "app": {"events": {"names": ["Charged"], "window": {**window, "lookback": "2d"}},
                "event_counts": {"names": ["Charged"], "window": {**window, "lookback": "2d"}}},
    }[pipeline]


def sources(url):
    common = {"base_url": url, "rate_limit": {"rate": "2000/s", "burst": 2000},
              "retry": {"attempts": 3, "backoff": "10ms..50ms"}}
    token = {"env": "TOKEN"}
    return {
        "meta": {"type": "facebook_ads", "access_token": token, "report": {"poll": "20ms..100ms"}, **common},
        "google": {"type": "google_ads", "token_url": f"{url}/token", "client_id": "id", "client_secret": token,
                   "refresh_token": {"env": "REFRESH"}, "login_customer_id": "1000000001", **common},
        "app": {"type": "clevertap", "account_id": "A", "passcode": token, "timezone": "Asia/Kolkata", **common},
    }


class Ended:
    """How a sluice ended, and what it said on standard error."""

    def __init__(self, code, said):
        self.code, self.said = code, said

    def incidents(self):
        """The lines that somebody who is on call would read."""
        return [line for line in self.said.splitlines() if re.search(r" (warning|error|critical) ", line)]

    def __repr__(self):
        return f"exit {self.code}:\n{self.said[-4000:]}"


class World:
    """One machine with its own state. `sink` is what it loads into; `api` may be a proxy's URL."""

    def __init__(self, folder, api, sink, sink_settings=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="machine-", dir=folder))
        self.sink = sink
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = self.folder / "sluice.yaml"
        self.settings = {
            "version": 1,
            "server": {"listen": f"127.0.0.1:{self.port}", "drain_timeout": "20s"},
            "state": {"url": f"sqlite://{self.folder}/state.db"},
            "sources": sources(api),
            "sinks": {"warehouse": sink_settings or sink.settings()},
            "defaults": {"sink": "warehouse", "retry": {"runs": 1}},
            "pipelines": {name: {"source": "meta" if name == "facebook" else name, "streams": streams_of(name)}
                          for name in PIPELINES},
        }
        self.write()

    def write(self):
        self.config.write_text(json.dumps(self.settings, indent=1, default=str))  # which is YAML

    def only(self, *pipelines):
        self.settings["pipelines"] = {name: self.settings["pipelines"][name] for name in pipelines}
        self.write()

    def schedule(self, every):
        for pipeline in self.settings["pipelines"].values():
            pipeline["schedule"] = {"every": every}
        self.write()

    def start(self, *arguments, under=(), environment=None):
        """sluice with these arguments; `under` is a command that starts it, such as strace."""
        command = [*under, built() / "sluice", *arguments, "-c", self.config]
        return Program(self.folder, command[0], command[1:], {**ENVIRONMENT, **(environment or {})}, log="sluice")

    def run(self, *arguments, under=(), environment=None, within=120):
        program = self.start("run", *(arguments or self.settings["pipelines"]), under=under, environment=environment)
        return ended(program, within)

    def remove(self):
        """With its sink."""
        self.sink.remove()
        shutil.rmtree(self.folder)

    def is_ready(self):
        try:
            return bool(fetch(self.url + "/readyz"))
        except OSError:
            return False

    def runs(self, outcome="succeeded"):
        """Of its daemon: those that ended so, the newest first."""
        return [run for run in json.loads(fetch(self.url + "/api/v1/runs?limit=1000")) if run["outcome"] == outcome]

    def status(self, pipeline):
        """What its daemon says of that pipeline."""
        return json.loads(fetch(f"{self.url}/api/v1/pipelines/{pipeline}"))

    def trigger(self, pipeline):
        return fetch(f"{self.url}/api/v1/pipelines/{pipeline}/trigger", "POST")

    def daemon(self, **options):
        daemon = self.start("serve", **options)
        daemon.until("sluice", lambda: fetch(self.url + "/readyz"))
        return daemon


def ended(program, within=120):
    """Waits for it."""
    try:
        code = program.process.wait(within)
    except subprocess.TimeoutExpired:
        program.stop()
        raise AssertionError(f"it does not end: {program.text()[-4000:]}") from None
    return Ended(code, program.text())


def killed(program):
    """Kills it, and all that it started, at this instant."""
    os.killpg(program.process.pid, signal.SIGKILL)
    return ended(program)


def still_api(*more, **options):
    """The simulated APIs at a time that stands still, and that nobody's today has reached: what a day has never changes."""
    return Api("0s", *more, days_ahead=1, **options)


def strace(calls, *more):
    """Starts a program so that what `more` says happens to its system calls."""
    return ["strace", "-f", "-qq", "-e", f"trace={calls}", "-e", "signal=none", *more]


def with_mount(command):
    """Starts a program in a mount namespace of its own, after this command. Skips the test where there is none."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        raise unittest.SkipTest("no mount namespace of its own: not root, in a chroot, or not allowed")
    return ["unshare", "-m", "sh", "-c", f'{command} && exec "$@"', "sh"]


class Calm:
    """What each sink holds when nothing goes wrong: loaded once, when it is first asked for."""

    def __init__(self, folder, api):
        self._folder, self._api, self._loaded = folder, api, {}

    def _load(self, kind):
        if kind not in self._loaded:
            sink = fresh_sink(kind, self._folder)
            world = World(self._folder, self._api.url, sink)
            began = time.monotonic()
            run = world.run(within=3600)
            seconds = time.monotonic() - began
            assert run.code == 0, run
            contents = Contents.of(sink, LAYOUT)
            assert set(contents.tables) == set(LAYOUT) and all(contents.tables.values()), contents.tables.keys()
            self._loaded[kind] = contents, seconds
        return self._loaded[kind]

    def of(self, kind):
        return self._load(kind)[0]

    def seconds(self, kind):
        """How long it took."""
        return self._load(kind)[1]

    def close(self):
        for contents, _ in self._loaded.values():
            contents.sink.close()


def fresh_sink(kind, folder):
    return Postgres() if kind == "postgres" else Sqlite(folder)


def part(calm, *tables):
    """Of a calm load, these tables alone."""
    return calm._replace(tables={name: calm.tables[name] for name in tables},
                         done_to={lane: day for lane, day in calm.done_to.items() if lane[0] in tables},
                         layout={name: calm.layout[name] for name in tables})


def tables_of(*pipelines):
    prefix = {"facebook": "meta_", "google": "google_", "app": "app_"}
    return [table for table in LAYOUT if any(table.startswith(prefix[name]) for name in pipelines)]


class FaultCase:
    """For a unittest.TestCase: the simulated APIs and their calm load, shared by the tests of a class."""

    ads = 12

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-faults-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.api = still_api(ads=cls.ads)
        cls.addClassCleanup(cls.api.stop)
        cls.calm = Calm(cls.folder, cls.api)
        cls.addClassCleanup(cls.calm.close)

    def tearDown(self):
        self.api.mend()

    def sink(self, kind):
        """A new one. The calm load comes first: what loads later loads as many days or more."""
        self.calm.of(kind)
        sink = fresh_sink(kind, self.folder)
        self.addCleanup(sink.close)
        return sink

    def world(self, sink, *pipelines, **options):
        world = World(self.folder, options.pop("api", self.api.url), sink, **options)
        if pipelines:
            world.only(*pipelines)
        return world

    def assert_whole(self, world):
        """The sink holds what a calm load of its pipelines gives, no more and no less."""
        calm = part(self.calm.of(kind_of(world.sink)), *tables_of(*world.settings["pipelines"]))
        self.assertEqual(faults_of(world.sink, calm), [])

    def assert_unbroken(self, world):
        """Each window that is there is whole, and is there where progress says so."""
        calm = part(self.calm.of(kind_of(world.sink)), *tables_of(*world.settings["pipelines"]))
        self.assertEqual(faults_of(world.sink, calm, whole=False), [])

    def assert_given_back(self, daemon, base, memory=16 << 10, descriptors=24, threads=8):
        """It holds what it held at `base`, a Footprint, as soon as its last connections have closed. Allowed for is what
        allocators and pools of connections keep; memory is in KiB."""
        def faults():
            return Footprint.of(daemon.process.pid).faults_since(base, memory, descriptors, threads)

        daemon.until(lambda: f"footprint of before: {faults()}", lambda: not faults())

    def assert_says(self, ended, *parts, lines=3):
        """It failed with one clear message that holds these parts, and with few further lines."""
        told = [line for line in ended.said.splitlines() if all(part in line for part in parts)]
        self.assertTrue(told, f"no line says {parts}: {ended}")
        self.assertLessEqual(len(ended.incidents()), lines, ended)
        self.assertNotIn(TOKEN, ended.said)


def kind_of(sink):
    return "postgres" if isinstance(sink, Postgres) else "sqlite"
