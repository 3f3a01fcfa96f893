"""The programs that the tests run, and what they run them with."""
import ctypes
import datetime
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "EAAcanary0123456789token"
TODAY = datetime.datetime.now(datetime.timezone.utc).date()  # of all worlds, though a midnight pass meanwhile


def run(command, **options):
    """Its output; AssertionError with all it said where it fails."""
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                           text=True, **options)
    if ended.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {ended.returncode}\n{ended.stdout}")
    return ended.stdout


def built():
    """The folder of the newest build, or the one that SLUICE_BUILD names."""
    if "SLUICE_BUILD" in os.environ:
        return pathlib.Path(os.environ["SLUICE_BUILD"])
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


def fetch(url, method="GET", body=None, within=10):
    """The answer's text. Raises OSError when there is none, or one that is an error."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    with urllib.request.urlopen(request, timeout=within) as answer:
        return answer.read().decode()


def end_with_parent():
    """In the child: it is killed should this process end without stopping it, such as by a time limit."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Program:
    """A program that runs until `stop`. What it says goes to a file, which is told when a wait for it fails."""

    def __init__(self, folder, name, arguments, environment=None, log=None):
        """`log` names the file, where it is not to be the program's own name."""
        self.said = pathlib.Path(folder) / f"{log or pathlib.Path(name).name}.log"
        with open(self.said, "wb") as out:
            self.process = subprocess.Popen([str(name), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})},
                                            preexec_fn=end_with_parent, start_new_session=True)

    def text(self):
        return self.said.read_text(errors="replace")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def until(self, what, check):
        """What `check` gives as soon as that is true. `what` may be a function, asked when it never was."""
        def told():
            return f"no {what() if callable(what) else what}; {self.said.name}:\n{self.text()[-3000:]}"

        return wait_until(check, 60, told)


class Api:
    """The simulated API; every report takes `delay`. Its time stands still, at noon of today or `days_ahead` of it. `more`
    are further options of sluice-sandbox."""

    def __init__(self, delay, *more, ads=50, days_ahead=0):
        today = TODAY + datetime.timedelta(days_ahead)
        self._process = subprocess.Popen(
            [built() / "sluice-sandbox", "--token", TOKEN, "--today", str(today), "--accounts", "2", "--ads", str(ads),
             "--report-delay", delay, "--exit-with-parent", *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        self.url = re.search(r"http://\S+", self._process.stdout.readline())[0]

    def fault(self, name, **how):
        """The API has it from now on; `how`: arg, path, times, every."""
        fetch(self.url + "/sandbox/fault", "POST", {"name": name, **how})

    def mend(self):
        """It has no fault any more, and has counted nothing."""
        fetch(self.url + "/sandbox/fault", "DELETE")
        fetch(self.url + "/sandbox/log", "DELETE")

    def struck(self, name):
        """How often that fault has struck."""
        return json.loads(fetch(self.url + "/sandbox/log"))["faults"].get(name, 0)

    def requests(self):
        """How many it has answered."""
        return json.loads(fetch(self.url + "/sandbox/log"))["total"]

    def stop(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


# Without one, the lookback of a first load that was interrupted reaches before its first day.
FIRST_DAY = TODAY - datetime.timedelta(28)


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
      insights: {{level: ad, window: {{lookback: 2d, start: {FIRST_DAY}}}}}
"""
