#!/usr/bin/env python3
"""The Debian package: what it holds, and what installing, upgrading, removing and purging it does."""
import gzip
import pathlib
import re
import tempfile
import unittest

from container import Container, make_package, needs_container
from programs import PROJECT, built, run


def setUpModule():
    global folder, package
    needs_container()
    folder = pathlib.Path(unittest.enterModuleContext(tempfile.TemporaryDirectory()))
    package = make_package(folder)


class Contents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = folder / "files"
        run(["dpkg-deb", "-x", package, cls.files])

    def complete(self, *words):
        script = ('source "$1"; shift; COMP_WORDS=(sluice "$@"); COMP_CWORD=$#; _sluice; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        completion = self.files / "usr/share/bash-completion/completions/sluice"
        return run(["bash", "-c", script, "bash", completion, *words]).split()

    def help(self, *command):
        return run([built() / "sluice", *command, "--help"])

    def commands(self):
        return re.findall(r"^  (\w+)", self.help().partition("Subcommands:\n")[2], re.M)

    def test_it_depends_on_the_libraries_it_is_linked_with(self):
        depends = run(["dpkg-deb", "-f", package, "Depends"])
        for library in ("libc6 (>=", "libpq5", "libssl3", "libsqlite3-0", "libsystemd0", "ca-certificates", "tzdata"):
            self.assertIn(library, depends)

    def test_only_root_reads_credentials(self):
        self.assertEqual((self.files / "etc/sluice/credentials").stat().st_mode & 0o777, 0o700)

    def test_the_files_for_watching_it_are_those_of_the_sources(self):
        installed = self.files / "usr/share/doc/sluice"
        for file in ("prometheus/prometheus.yml", "prometheus/alerts.yml", "grafana/sluice.json", "loadbalancer/haproxy.cfg"):
            self.assertEqual((installed / "deploy" / file).read_bytes(), (PROJECT / "deploy" / file).read_bytes())
            self.assertIn(f"`deploy/{file}`", (PROJECT / "docs/operations.md").read_text())

    def test_the_pages_lead_to_one_another(self):
        pages = list((self.files / "usr/share/doc/sluice").rglob("*.md"))
        self.assertGreater(len(pages), 10)
        for page in pages:
            for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
                self.assertTrue("://" in target or (page.parent / target).exists(), f"{page}: {target}")

    def test_the_unit_and_the_alerts_name_pages_that_are_there(self):
        unit = (self.files / "usr/lib/systemd/system/sluice.service").read_text()
        alerts = (self.files / "usr/share/doc/sluice/deploy/prometheus/alerts.yml").read_text()
        named = re.findall(r"file:(?://)?/(usr/share/doc/\S+?\.md)", unit + alerts)
        self.assertGreater(len(named), 10)
        for page in named:
            self.assertTrue((self.files / page).is_file(), page)

    def test_it_says_whose_it_is(self):
        text = (self.files / "usr/share/doc/sluice/copyright").read_text()
        for owner in ("authors of sluice", "Niels Lohmann", "University of Cincinnati"):
            self.assertRegex(text, rf"Copyright: .*{owner}")

    def test_the_manual_tells_every_command_and_option(self):
        page = self.files / "usr/share/man/man1/sluice.1.gz"
        self.assertEqual(run(["sh", "-c", 'man --warnings -l "$1" >/dev/null', "sh", page]), "")
        text = gzip.decompress(page.read_bytes()).decode().replace("\\-", "-")
        self.assertIn("serve", self.commands())
        for command in self.commands():
            self.assertRegex(text, rf'\.SS sluice {command}\b')
            for option in re.findall(r"--[a-z-]+", self.help(command)):
                self.assertIn(option, text)

    def test_completion_knows_commands_options_and_their_values(self):
        self.assertLessEqual(set(self.commands()), set(self.complete("")))
        self.assertEqual(self.complete("back"), ["backfill"])
        self.assertLessEqual({"--from", "--to", "--parallel", "--config"}, set(self.complete("backfill", "--")))
        self.assertEqual(self.complete("quarantine", "s"), ["show"])
        self.assertEqual(self.complete("status", "-o", ""), ["table", "json"])
        self.assertEqual(self.complete("run", "--stream", ""), [])


class Installation(unittest.TestCase):
    def setUp(self):
        self.container = self.enterContext(Container(folder))

    def status(self):
        ended = self.container.sh("systemctl is-active sluice || true; systemctl is-enabled sluice 2>&1 || true")
        return ended.split("\n")[:2]

    def test_from_installing_to_purging(self):
        inside = self.container
        inside.install(package)
        self.assertEqual(self.status(), ["inactive", "disabled"])
        self.assertIn("loads nothing", inside.path("/etc/sluice/sluice.yaml").read_text())
        self.assertIn("0 pipelines", inside.sh("cd / && sluice check"))
        inside.sh("systemctl enable --now sluice 2>&1")
        self.assertEqual(self.status(), ["active", "enabled"])

        before = inside.sh("systemctl show -P MainPID sluice")
        inside.sh("echo '# ours' >> /etc/sluice/sluice.yaml; echo secret > /etc/sluice/credentials/ours")
        newer = make_package(folder / "newer", "99.0")
        newer.rename(folder / newer.name)
        inside.install(folder / newer.name)
        self.assertEqual(self.status(), ["active", "enabled"])
        self.assertNotEqual(inside.sh("systemctl show -P MainPID sluice"), before, "runs the old version")
        self.assertIn("# ours", inside.path("/etc/sluice/sluice.yaml").read_text())

        inside.sh("apt-get -y remove sluice")
        self.assertEqual(self.status()[0], "inactive")
        self.assertFalse(inside.path("/usr/bin/sluice").exists())
        inside.sh("test -s /var/lib/sluice/state.db && grep ours /etc/sluice/sluice.yaml && "
                  "test -f /etc/sluice/credentials/ours && test -z \"$(find /etc/systemd -xtype l -name 'sluice*')\"")

        inside.sh("apt-get -y purge sluice")
        self.assertEqual(inside.sh("find / -xdev -name 'sluice*'"), "")
        self.assertEqual(inside.sh("systemctl list-units --failed --no-legend 'sluice*'"), "")


if __name__ == "__main__":
    unittest.main()
