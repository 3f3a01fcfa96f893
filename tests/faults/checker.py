"""What must hold of a sink, whatever became of the sluices that loaded it: checked against a calm load of the same.

`Contents` is what a sink held; `faults_of` gives what is wrong with a sink now, a line each, nothing where all is well.
"""
import pathlib
from typing import NamedTuple

OWN = ("_sluice_run", "_sluice_slice", "_sluice_loaded_at")  # which run loaded a row differs from load to load
COUNTED = ("inserted", "updated", "unchanged", "duplicate", "quarantined", "filtered")
SHOWN = 3  # rows of each kind of difference in a message


class Layout(NamedTuple):
    """The columns of a table that say which part of its stream a row is of; `day` is None where a part is no days."""
    partition: str
    day: str | None


class Window(NamedTuple):
    """What a table holds of one partition and day: as many rows, and a sum of hashes of their columns but sluice's own."""
    rows: int
    checksum: object


class Row(NamedTuple):
    """A row as a sink gives it: its key and all its columns but sluice's own, as JSON texts."""
    key: str
    content: str


class Contents(NamedTuple):
    sink: object    # which is asked for the rows of windows that differ
    tables: dict    # table: {(partition, day): Window}; the day is an ISO date, or None
    done_to: dict   # (table, partition): how far the live lane of days says that it is loaded
    layout: dict    # table: Layout

    @classmethod
    def of(cls, sink, layout):
        tables = {table: sink.windows(table, layout[table]) for table in sorted(set(sink.tables()) & set(layout))}
        done_to = {(step["table_name"], step["partition"]): step["done_to"] for step in sink.progress()
                   if step["lane"] == "live" and step["done_to"]}
        return cls(sink, tables, done_to, layout)

    def count(self):
        return sum(window.rows for windows in self.tables.values() for window in windows.values())

    def rows(self, table, window):
        """Of a window: {key: contents of the rows with that key, in order}."""
        keys = {}
        for row in self.sink.rows(table, self.layout[table], *window):
            keys.setdefault(row.key, []).append(row.content)
        return {key: sorted(contents) for key, contents in keys.items()}


def faults_of(sink, calm, whole=True):
    """What differs from the calm load, and what is wrong in the books or left behind. A load that was cut short is
    checked with whole=False: each window is there as a whole or not at all, and is there where progress says so."""
    now = Contents.of(sink, calm.layout)
    faults = [f"{table} is left behind" for table in sorted(set(sink.tables()) - set(calm.layout))]
    for table, expected in calm.tables.items():
        found = now.tables.get(table, {})
        for window in sorted(set(expected) | set(found), key=str):
            if expected.get(window) == found.get(window) or began_since(calm, table, window):
                continue
            if not whole and window not in found and not is_published(now, table, window):
                continue
            faults += differences(calm, now, table, window)
    if whole:
        faults += [f"{table}, partition {partition}: loaded to {now.done_to.get((table, partition))}, not to {day}"
                   for (table, partition), day in calm.done_to.items()
                   if calm.layout[table].day and (now.done_to.get((table, partition)) or "") < day]
    return faults + faults_of_books(sink) + sink.leftovers()


def began_since(calm, table, window):
    """A day on which the calm load was over: it loads up to today."""
    partition, day = window
    return day is not None and day > calm.done_to.get((table, partition), day)


def is_published(contents, table, window):
    partition, day = window
    done_to = contents.done_to.get((table, partition))
    return done_to is not None and (day is None or day < done_to)


def differences(calm, now, table, window):
    """Of a window whose checksums differ."""
    expected = calm.rows(table, window)
    found = now.rows(table, window) if table in now.tables else {}
    kinds = {"lacks": [], "has twice": [], "has changed": [], "should not have": []}
    for key, rows in expected.items():
        there = found.get(key, [])
        if len(there) < len(rows):
            kinds["lacks"].append(key)
        elif len(there) > len(rows):
            kinds["has twice"].append(key)
        elif there != rows:
            kinds["has changed"].append(key)
    kinds["should not have"] = [key for key in found if key not in expected]
    where = f"{table}, partition {window[0]}" + (f", {window[1]}" if window[1] else "")
    return [f"{where}: {kind} {len(keys)} rows: {', '.join(key[:120] for key in keys[:SHOWN])}"
            for kind, keys in kinds.items() if keys] or [f"{where}: other columns, or other checksums of the same rows"]


def faults_of_books(sink):
    """Each published slice has one line that adds up, and is one step of its lane's version."""
    faults, lines = [], {}
    for load in sink.loads():
        lane = tuple(load[name] for name in ("pipeline", "stream", "partition", "lane"))
        lines[lane] = lines.get(lane, 0) + 1
        counted = sum(load[name] for name in COUNTED)
        if load["read"] != counted:
            faults.append(f"the ledger of {load['stream']}, {load['slice']}: read {load['read']}, accounted for {counted}")
    steps = {tuple(step[name] for name in ("pipeline", "stream", "partition", "lane")): step["version"]
             for step in sink.progress()}
    for lane in sorted(set(lines) | set(steps)):
        if lines.get(lane, 0) != steps.get(lane, 0):
            faults.append(f"{'/'.join(lane)}: {lines.get(lane, 0)} lines of the ledger, {steps.get(lane, 0)} steps of progress")
    return faults


class Footprint(NamedTuple):
    """What a process holds of its machine."""
    descriptors: int
    threads: int
    memory: int  # resident, KiB

    @classmethod
    def of(cls, pid):
        process = pathlib.Path("/proc") / str(pid)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return cls(len(list((process / "fd").iterdir())), int(status["Threads"]), int(status["VmRSS"].split()[0]))

    def faults_since(self, base, memory, descriptors=0, threads=0):
        """What is more than at `base`. `memory` may have grown by that many KiB, which allocators keep, and so many
        descriptors and threads may have come, which pools of connections do."""
        more = Footprint(descriptors, threads, memory)
        return [f"{now} {name}, {then} before" for name, now, then, least in zip(self._fields, self, base, more)
                if now > then + least]
