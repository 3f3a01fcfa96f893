#!/usr/bin/env python3
"""The crash loop for long: more kills, in the middle of loads of millions of rows.

    tests/faults/soak.py --kills 1000 --rows 2000000 --sink postgres
"""
import argparse
import pathlib
import random
import shutil
import tempfile
import time

import world
from crashing import Crashes


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=2_000_000, help="of one load at least; all connectors together")
    parser.add_argument("--days", type=int, default=40, help="of one load, before today")
    parser.add_argument("--life", type=float, help="seconds that a process lives at most; if not given, as long as a load")
    parser.add_argument("--sink", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the instants")
    parser.add_argument("--check-every", type=int, default=50, help="kills after which what is there so far is checked")
    return parser.parse_args()


def main():
    chosen = options()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-soak-"))
    world.DAYS = chosen.days
    # Each day has as many rows of two accounts together, of two customers together, and of one event.
    a_day = max(1, -(-chosen.rows // ((world.DAYS + 1) * 3)))
    api = world.still_api("--rows-per-day", str(a_day))
    try:
        began = time.monotonic()
        calm = world.Calm(folder, api)
        contents, seconds = calm.of(chosen.sink), calm.seconds(chosen.sink)
        print(f"seed {chosen.seed}: {contents.count()} rows a load, {seconds:.0f} s undisturbed", flush=True)
        crashes = Crashes(lambda: world.World(folder, api.url, world.fresh_sink(chosen.sink, folder)), contents,
                          min(seconds, chosen.life or seconds), random.Random(chosen.seed), chosen.check_every)
        while crashes.kills < chosen.kills:
            crashes.make(min(200, chosen.kills - crashes.kills))
            print(f"{crashes.kills} kills, {crashes.loads} whole loads, {(time.monotonic() - began) / 60:.0f} min: "
                  "exactly the calm load's tables", flush=True)
    finally:
        api.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
