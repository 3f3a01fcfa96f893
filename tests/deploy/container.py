"""A Debian 12 of its own, booted with systemd, to install the package in: systemd-nspawn over a root in build/container
that is made once. What a test does to it is gone when it ends. It shares this machine's network."""
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from programs import PROJECT, built, run, wait_until

CACHE = PROJECT / "build" / "container"
ROOT = CACHE / "root"
SYSTEMD = pathlib.Path("/run/systemd/system").exists()  # of this machine: then nspawn asks it for a place among its units


def needs_container():
    """Skips the tests where no container can be, and says why."""
    missing = None
    if os.geteuid() != 0:
        missing = "not root"
    elif tools := [tool for tool in ("systemd-nspawn", "debootstrap", "dpkg-deb") if not shutil.which(tool)]:
        missing = f"no {', '.join(tools)} (deploy/install-packages.sh test)"
    elif subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        missing = "no right to mount"
    elif not os.path.ismount("/sys/fs/cgroup"):
        missing = "no control groups"
    else:
        missing = make_root()
    if missing:
        raise unittest.SkipTest(f"cannot start a container: {missing}")


def make_package(output, version=""):
    """The Debian package of the newest build, in the folder `output`."""
    command = [PROJECT / "deploy" / "package.sh", built(), output] + ([version] if version else [])
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode != 0:
        raise AssertionError(f"deploy/package.sh: {ended.stderr}")
    return pathlib.Path(ended.stdout.strip())


def make_root():
    """What is in the way, if anything is."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ROOT.exists():
            return None
        new = CACHE / "root.new"
        shutil.rmtree(new, ignore_errors=True)
        made = subprocess.run(["debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv", "bookworm", new],
                              capture_output=True, text=True)
        if made.returncode != 0:
            return f"debootstrap: {(made.stderr or made.stdout).strip().splitlines()[-1:]}"
        new.rename(ROOT)
        return None


class Container:
    """with Container(folder) as container: …   `folder` is seen inside as /mnt."""

    def __init__(self, folder):
        self._folder = folder
        self._end = contextlib.ExitStack()
        self._name = f"sluice-test-{os.getpid()}"

    def __enter__(self):
        with self._end:
            self._boot()
            self._end = self._end.pop_all()
        return self

    def __exit__(self, *_):
        self._end.close()

    def run(self, *command):
        """Runs a command inside, as root; its output."""
        return run([*self._inside, *command])

    def sh(self, script):
        return self.run("sh", "-ec", script)

    def write(self, path, text, mode=0o644):
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def path(self, path):
        """A path inside, as seen from here."""
        return pathlib.Path(f"/proc/{self._init}/root{path}")

    def install(self, package, *more):
        """Installs a package of the folder, what it depends on, and `more` of Debian's. Downloads are kept for the next time."""
        packages = " ".join([f"/mnt/{package.name}", *more])
        command = f"DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends install {packages}"
        try:
            return self.sh(command)
        except AssertionError:  # the lists are missing or old
            return self.sh("apt-get update && " + command)

    def _boot(self):
        root = ROOT
        log = self._end.enter_context(tempfile.TemporaryFile("w+"))
        place = [] if SYSTEMD else ["--register=no", "--keep-unit"]
        nspawn = subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", "systemd-nspawn", "--quiet", "--boot", *place, f"--machine={self._name}",
             f"--directory={root}", "--volatile=overlay", f"--bind={CACHE}/archives:/var/cache/apt/archives",
             f"--bind={self._folder}:/mnt", "--console=pipe"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self._enter_own_group)
        self._end.callback(self._stop, nspawn)

        def said():
            log.seek(0)
            return log.read()

        def booted():
            "systemd is up in the container"
            if nspawn.poll() is not None:
                raise RuntimeError(f"systemd-nspawn: exit {nspawn.returncode}\n{said()}")
            children = pathlib.Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
            if not children:
                return False
            self._init = children[0]
            self._inside = ["nsenter", f"--target={self._init}", "--mount", "--uts", "--ipc", "--pid", "--cgroup",
                            "--root", "--wd", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
            return self.sh("systemctl is-system-running || true").strip() in ("running", "degraded")

        wait_until(booted, 90, said)

    # Where no systemd gave each process a place of its own, the container's groups would mix with those of another.
    def _groups(self):
        hierarchies = [pathlib.Path("/sys/fs/cgroup", name) for name in ("", "systemd", "unified")]
        return [each / self._name for each in hierarchies if not SYSTEMD and (each / "cgroup.procs").exists()]

    def _enter_own_group(self):
        for group in self._groups():
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def _stop(self, nspawn):
        nspawn.send_signal(signal.SIGTERM)  # a clean shutdown; a second one ends it at once
        try:
            nspawn.wait(20)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()
        for group in self._groups():
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
