"""The databases that sluice loads into, as the checker looks at them: a private PostgreSQL server, and SQLite files."""
import atexit
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

from checker import OWN, Row, Window
from programs import end_with_parent, free_port, run, wait_until

SCHEMA = "marketing"
AS_SERVER = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"]


class Server:
    """A PostgreSQL server of this test program's own. The user postgres needs no password; `loader` has no rights but
    those that docs/operations.md grants, and the password `let-me-in`."""

    _instance = None

    @classmethod
    def instance(cls):
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def __init__(self):
        servers = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
        if not servers:
            raise RuntimeError("no PostgreSQL server (deploy/install-packages.sh test)")
        self._bin, self.port, self._databases = servers[-1], free_port(), 0
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-faults-pg-"))
        atexit.register(self._remove)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        run(self._as_server("initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8",
                            "--locale=C", "--no-sync"), cwd="/")
        hba = self.folder / "data" / "pg_hba.conf"
        hba.write_text("host all loader 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        self.log = self.folder / "log"
        self.start()
        self.psql("postgres", "CREATE ROLE loader LOGIN PASSWORD 'let-me-in'")

    def _as_server(self, program, *arguments):
        return [*(AS_SERVER if os.geteuid() == 0 else []), str(self._bin / program), *map(str, arguments)]

    def start(self):
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder,
                    "fsync": "off", "max_connections": 60, "autovacuum": "off", "shared_buffers": "64MB"}
        with open(self.log, "ab") as out:
            self._process = subprocess.Popen(
                self._as_server("postgres", "-D", self.folder / "data",
                                *(f"--{name}={value}" for name, value in settings.items())),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", preexec_fn=end_with_parent)
        wait_until(lambda: self.psql("postgres", "SELECT 1"), 60, lambda: self.log.read_text()[-2000:])

    def stop_immediately(self):
        """As `pg_ctl -m immediate`: no session ends in order, and the next start recovers from the log."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(60)

    def _remove(self):
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def psql(self, database, sql, user="postgres"):
        """What the statements print, without headers. AssertionError with the server's words where one fails."""
        return run([self._bin / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port),
                    "-U", user, "-d", database, "-c", sql], cwd="/").rstrip("\n")

    def connect(self, database):
        return Session([str(self._bin / "psql"), "-XqAt", "-v", "FETCH_COUNT=10000", "-h", str(self.folder), "-p",
                        str(self.port), "-U", "postgres", "-d", database])

    def fresh_database(self):
        self._databases += 1
        name = f"faults_{self._databases}"
        self.psql("postgres", f"CREATE DATABASE {name}")
        return name


class Session:
    """A session that stays open, and can hold a transaction open."""

    def __init__(self, command):
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT, text=True, cwd="/", preexec_fn=end_with_parent)

    def send(self, sql):
        """Begins it; `lines` waits for it."""
        self._process.stdin.write(sql.rstrip("; ") + ";\n\\echo \x1fdone\n")
        self._process.stdin.flush()

    def lines(self):
        for line in self._process.stdout:
            line = line.rstrip("\n")
            if line == "\x1fdone":
                return
            if re.match(r"(ERROR|FATAL|psql):", line):
                raise AssertionError(line)
            yield line
        raise AssertionError("the session ended")

    def ask(self, sql):
        self.send(sql)
        return list(self.lines())

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(20)


class Postgres:
    """A database of the private server."""

    def __init__(self):
        self.server = Server.instance()
        self.database = self.server.fresh_database()
        self._asking = None

    def settings(self, port=None, user="postgres"):
        """Of the sink in sluice.yaml; by the port of a proxy, where there is one."""
        port = port or self.server.port
        return {"type": "postgres", "schema": SCHEMA,
                "url": f"postgresql://{user}@127.0.0.1:{port}/{self.database}?sslmode=disable"}

    def ask(self, sql):
        """The lines that it prints, over a session that is kept."""
        if self._asking is None:
            self._asking = self.server.connect(self.database)
            self._asking.ask(f"SET search_path = {SCHEMA}")
        try:
            return self._asking.ask(sql)
        except (AssertionError, BrokenPipeError):
            self.close()
            raise

    def close(self):
        if self._asking is not None:
            asking, self._asking = self._asking, None
            asking.close()

    def remove(self):
        self.close()
        self.server.psql("postgres", f"DROP DATABASE {self.database} WITH (FORCE)")

    def tables(self):
        return self.ask(f"SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relname !~ '^_sluice_' "
                        f"AND relnamespace = to_regnamespace('{SCHEMA}') AND NOT relispartition")

    def windows(self, table, layout):
        columns = self.ask(f"SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '{table}'::regclass "
                           f"AND attnum > 0 AND NOT attisdropped AND attname NOT IN {OWN} ORDER BY attname")
        parts = ", ".join(filter(None, layout))
        found = {}
        for line in self.ask(f"SELECT concat_ws(E'\\x1f', count(*), sum(hashtextextended(ROW({', '.join(columns)})::text, 0)), "
                             f"{parts}) FROM {table} GROUP BY {parts}"):
            rows, checksum, partition, *day = line.split("\x1f")
            found[partition, day[0] if day else None] = Window(int(rows), (*columns, checksum))
        return found

    def rows(self, table, layout, partition, day):
        key = self.ask(f"SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey) "
                       f"WHERE indrelid = '{table}'::regclass AND indisprimary ORDER BY attname")
        content = "(to_jsonb(t)" + "".join(f" - '{name}'" for name in OWN) + ")::text"
        key = f"jsonb_build_array({', '.join(key)})::text" if key else content
        of_day = f" AND {layout.day} = '{day}'" if day else ""
        for line in self.ask(f"SELECT concat_ws(E'\\x1f', {key}, {content}) FROM {table} t "
                             f"WHERE {layout.partition}::text = '{partition}'{of_day}"):
            yield Row(*line.split("\x1f"))

    def _books(self, table):
        if not self.ask(f"SELECT to_regclass('{SCHEMA}.{table}')")[0]:
            return []
        return [json.loads(line) for line in self.ask(f"SELECT to_json(t) FROM {table} t")]

    def progress(self):
        return self._books("_sluice_progress")

    def loads(self):
        return self._books("_sluice_loads")

    def leftovers(self, within=20):
        """What a load that is over must not leave: sessions, advisory locks, prepared transactions, staged rows. The
        server has `within` seconds to notice that a session's client is dead."""
        held = {
            "sessions": "SELECT pid || ' ' || query FROM pg_stat_activity WHERE application_name = 'sluice' AND "
                        "datname = current_database()",
            "advisory locks": "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND database = "
                              "(SELECT oid FROM pg_database WHERE datname = current_database())",
            "prepared transactions": "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()",
            "temporary tables": "SELECT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'",
        }
        end = time.monotonic() + within
        while True:
            left = {what: self.ask(sql) for what, sql in held.items()}
            if not any(left.values()) or time.monotonic() > end:
                return [f"{what} are left: {'; '.join(names)[:200]}" for what, names in left.items() if names]
            time.sleep(0.02)


class Sqlite:
    """A database file in a folder of its own, where sluice's temporary files go too."""

    def __init__(self, folder):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="warehouse-", dir=folder))
        self.path = self.folder / "warehouse.db"

    def settings(self):
        return {"type": "sqlite", "url": f"sqlite://{self.path}"}

    def ask(self, sql):
        connection = sqlite3.connect(self.path)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(sql)]
        finally:
            connection.close()

    def change(self, sql):
        connection = sqlite3.connect(self.path)
        with connection:
            connection.execute(sql)
        connection.close()

    def copy(self, back=None):
        """A copy of the database in memory; or such a copy back into the file."""
        file = sqlite3.connect(self.path)
        copy = back or sqlite3.connect(":memory:")
        (copy if back else file).backup(file if back else copy)
        file.close()
        return copy

    @contextlib.contextmanager
    def locked(self):
        """Somebody else writes, until the end of the block."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.close()

    def tables(self):
        names = [row["name"] for row in self.ask("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [name for name in names if not name.startswith(("_sluice_", "sqlite_"))]

    def _rows(self, table, layout):
        columns = self.ask(f"PRAGMA table_info({table})")
        key = [column["name"] for column in columns if column["pk"]]
        for row in self.ask(f"SELECT * FROM {table}"):
            content = json.dumps({name: value for name, value in row.items() if name not in OWN}, sort_keys=True)
            window = str(row[layout.partition]), row[layout.day] if layout.day else None
            yield window, Row(json.dumps([row[name] for name in key]) if key else content, content)

    def windows(self, table, layout):
        found = {}
        for window, row in self._rows(table, layout):
            digest = hashlib.blake2b(row.content.encode(), digest_size=8).digest()
            rows, checksum = found.get(window, (0, 0))
            found[window] = Window(rows + 1, checksum + int.from_bytes(digest, "big"))
        return found

    def rows(self, table, layout, partition, day):
        return (row for window, row in self._rows(table, layout) if window == (partition, day))

    def _books(self, table):
        known = self.ask(f"SELECT name FROM sqlite_master WHERE name = '{table}'")
        return self.ask(f"SELECT * FROM {table}") if known else []

    def progress(self):
        return self._books("_sluice_progress")

    def loads(self):
        return self._books("_sluice_loads")

    def leftovers(self):
        left = [f"{path.name} is left in the folder" for path in self.folder.iterdir()
                if path.name not in (self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm")]
        if not self.path.exists():
            return left
        try:
            verdict = self.ask("PRAGMA integrity_check")[0]["integrity_check"]
        except sqlite3.DatabaseError as damage:
            verdict = damage
        if verdict != "ok":
            return left + [f"the file is damaged: {verdict}"]
        connection = sqlite3.connect(self.path, timeout=0)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as locked:
            left.append(f"somebody holds the file: {locked}")
        finally:
            connection.close()
        return left

    def close(self):
        pass

    def remove(self):
        shutil.rmtree(self.folder)
