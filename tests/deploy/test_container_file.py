#!/usr/bin/env python3
"""deploy/container/Containerfile, instruction by instruction. Its image is not built, since sluice would be compiled once more:
the first stage takes the programs that are built, and the second is carried out in a Debian of its own."""
import json
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

from container import Container, needs_container
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from programs import PROJECT, built, fetch, run, wait_until

IGNORED = (PROJECT / ".dockerignore").read_text().split()
INSTALLS = "deploy/install-packages.sh "


def stages():
    """Of each its instructions: a word, and what follows it."""
    text = re.sub(r"^#.*\n", "", (PROJECT / "deploy/container/Containerfile").read_text(), flags=re.MULTILINE)
    made = []
    for line in filter(str.strip, re.sub(r"\s*\\\n\s*", " ", text).splitlines()):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            made.append([])
        made[-1].append((word, rest))
    return made


BUILD, IMAGE = stages()


class Build:
    """The first stage, carried out in a folder that stands for the root of its file system."""

    def __init__(self, root):
        self.root = self.here = root
        carry_out = {"FROM": self.base, "WORKDIR": self.workdir, "COPY": self.copy, "RUN": self.run}
        for word, rest in BUILD:
            carry_out[word](rest)

    def base(self, image):
        assert image == "docker.io/library/debian:12 AS build", image

    def workdir(self, folder):
        self.here = self.root / folder.lstrip("/")
        self.here.mkdir()

    def copy(self, names):
        *sources, target = names.split()
        (self.here / target).mkdir(exist_ok=True)
        for source in sources:
            assert source.split("/")[0] not in IGNORED, source
            if source != ".":
                shutil.copy2(PROJECT / source, self.here / target)
                continue
            shutil.copytree(PROJECT, self.here / target, dirs_exist_ok=True,
                            ignore=lambda folder, _: IGNORED if folder == str(PROJECT) else ["__pycache__"])

    def run(self, commands):
        for command in commands.split(" && "):
            if command.startswith(INSTALLS):
                continue  # see Image
            if not command.startswith("cmake --build "):
                run(["sh", "-ec", command], cwd=self.here)
                continue
            command, _, targets = command.partition(" --target ")
            run(["sh", "-ec", f"{command} -- -t query {targets}"], cwd=self.here)  # fails for one that is not there
            for target in targets.split():
                shutil.copy2(built() / target, self.here / "build" / "release")

    def found(self, pattern):
        files = list(self.root.glob(pattern.lstrip("/")))
        assert len(files) == 1, f"{pattern}: {files}"
        return files[0]


def said(word):
    """What follows the second stage's only instruction of that name."""
    (rest,) = [rest for each, rest in IMAGE if each == word]
    return rest


def setUpModule():
    global folder, build
    assert {".git", "build"} <= set(IGNORED), "what is built here is no part of the sources"
    folder = pathlib.Path(unittest.enterModuleContext(tempfile.TemporaryDirectory()))
    build = Build(folder)


class Instructions(unittest.TestCase):
    def test_it_holds_no_instruction_that_is_not_looked_at_here(self):
        self.assertEqual([word for word, _ in IMAGE],
                         ["FROM", "COPY", "RUN", "USER", "ENV", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"])
        self.assertEqual(said("FROM"), "docker.io/library/debian:12-slim")


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        needs_container()
        cls.inside = cls.enterClassContext(Container(folder))

    def test_every_package_that_the_build_needs_is_debians(self):
        (installs,) = [rest for word, rest in BUILD if word == "RUN" and rest.startswith(INSTALLS)]
        (folder / "apt.conf").write_text('APT::Get::Simulate "true";\n')
        self.inside.run("apt-get", "update")
        told = self.inside.sh(f"cd /mnt/{build.here.name}; APT_CONFIG=/mnt/apt.conf {installs}")
        self.assertIn("installing: ", told)
        self.assertIn(" libboost1.81-dev ", told)

    def test_the_image_runs_sluice_as_its_user_and_lets_it_drain(self):
        inside, user, environment = self.inside, said("USER"), said("ENV")
        program, serve = json.loads(said("ENTRYPOINT")), json.loads(said("CMD"))
        source, package, target = said("COPY").split()
        self.assertEqual(source, "--from=build")
        inside.run("cp", f"/mnt/{build.found(package).relative_to(folder)}", target)
        inside.sh(said("RUN"))
        self.assertNotEqual(inside.run("id", "-u", user).strip(), "0")
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "env", environment]
        self.assertRegex(inside.run(*as_user, *program, "version"), r"^sluice \d")
        inside.run("systemd-run", "--quiet", "--unit=image", f"--uid={user}", f"--setenv={environment}",
                   "-p", "RemainAfterExit=yes", *program, *serve)
        wait_until(lambda: fetch(f"http://127.0.0.1:{said('EXPOSE')}/readyz"), 30, lambda: inside.sh("journalctl -u image"))
        self.assertEqual(inside.run("stat", "-c", "%U", f"{said('VOLUME')}/state.db").strip(), user)
        inside.run("systemctl", "kill", f"--signal={said('STOPSIGNAL')}", "image")
        wait_until(lambda: inside.run("systemctl", "show", "-P", "SubState", "image").strip() == "exited", 30)
        ended = inside.sh("systemctl show -P ExecMainCode image; systemctl show -P ExecMainStatus image")
        self.assertEqual(ended.split(), ["1", "0"])  # 1: it ended by itself


if __name__ == "__main__":
    unittest.main(verbosity=0)
