"""Starts what these tests watch: the simulated API, sluice, Prometheus; each on a free port, in a folder of its own."""
import json
import pathlib
import shutil
import sys
import tempfile
import urllib.error
import urllib.parse

import yaml

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from programs import PROJECT, TOKEN, Api, Program, built, fetch, free_port

rules_file = PROJECT / "deploy" / "prometheus" / "alerts.yml"


class Sluice(Program):
    """Pipelines of every kind: `live` each second, `follows` after it, `paused`, `disabled` and `by_hand`."""

    def __init__(self, folder, api):
        self.url = f"http://127.0.0.1:{free_port()}"
        config = pathlib.Path(folder) / "sluice.yaml"
        # Few calls at once, so that some wait for the rate limit.
        settings = {
            "version": 1,
            "server": {"listen": self.url.removeprefix("http://"), "drain_timeout": "2s"},
            "state": {"url": f"sqlite://{folder}/state.db"},
            "sources": {"facebook": {"type": "facebook_ads", "base_url": api.url, "access_token": {"env": "TOKEN"},
                                     "report": {"poll": "50ms..200ms"}, "rate_limit": {"rate": "50/s", "burst": 2},
                                     "retry": {"attempts": 2, "backoff": "10ms..50ms"}}},
            "sinks": {"warehouse": {"type": "sqlite", "url": f"sqlite://{folder}/warehouse.db"}},
            "defaults": {"source": "facebook", "sink": "warehouse", "retry": {"runs": 1}, "freshness": "1m"},
            "pipelines": {
                "live": {"schedule": {"every": "1s", "overlap": "queue"},
                         "streams": {"campaigns": {}, "insights": {"window": {"lookback": "2d"}}}},
                "follows": {"schedule": {"after": ["live"]}, "streams": {"adsets": {}}},
                "paused": {"schedule": {"every": "1h"}, "freshness": "1s", "streams": {"accounts": {}}},
                "disabled": {"schedule": {"every": "1s"}, "enabled": False, "freshness": "1s", "streams": {"ads": {}}},
                "by_hand": {"freshness": "1s", "streams": {"creatives": {}}},
            },
        }
        config.write_text(yaml.safe_dump(settings))
        super().__init__(folder, built() / "sluice", ["-c", config, "serve"], {"TOKEN": TOKEN})

    def ready(self):
        self.until("sluice", lambda: fetch(self.url + "/readyz"))
        fetch(self.url + "/api/v1/pipelines/paused/pause", "POST")


class Prometheus(Program):
    """The shipped configuration and rules. For a test's patience it looks each second, and `hold_for` is every
    alert's `for`."""

    def __init__(self, folder, sluice, hold_for):
        self.url = f"http://127.0.0.1:{free_port()}"
        folder = pathlib.Path(folder) / "prometheus"
        folder.mkdir()
        rules = yaml.safe_load(rules_file.read_text())
        for rule in rules["groups"][0]["rules"]:
            if "for" in rule:
                rule["for"] = hold_for
        (folder / "alerts.yml").write_text(yaml.safe_dump(rules))
        config = yaml.safe_load((rules_file.parent / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [sluice.url.removeprefix("http://")]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        super().__init__(folder, shutil.which("prometheus") or "prometheus",
                         [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                          f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn"])

    def ready(self):
        self.until("Prometheus", lambda: fetch(self.url + "/-/ready"))

    def get(self, path, **parameters):
        return json.loads(fetch(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))["data"]

    def query(self, expression):
        """The series that it gives. Raises ValueError with Prometheus's words where it cannot be parsed."""
        try:
            return self.get("query", query=expression)["result"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{json.loads(error.read())['error']}: {expression}") from None

    def alerts(self, name=None):
        return [a for a in self.get("alerts")["alerts"] if name in (None, a["labels"]["alertname"])]


def start_all(case, hold_for):
    """The API, sluice and Prometheus for a test class (`case`), which stops them, whatever happens."""
    folder = tempfile.mkdtemp(prefix="sluice-deploy-")
    case.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)

    def started(program):
        case.addClassCleanup(program.stop)
        program.ready()
        return program

    api = Api("0s")
    case.addClassCleanup(api.stop)
    sluice = started(Sluice(folder, api))
    return api, sluice, started(Prometheus(folder, sluice, hold_for))
