"""kill -9 at random instants of loads of all three connectors, again and again, each load until it gets through."""
import time

from checker import faults_of
from world import PIPELINES, ended, killed


class Crashes:
    """`new_world` gives a machine with an empty sink. Each life of sluice ends at an instant that `rng` chooses within the
    `seconds` that a whole load takes; the life that gets through before it must leave exactly the calm load's tables."""

    def __init__(self, new_world, calm, seconds, rng, check_every=1):
        self._new_world, self._calm, self._seconds, self._rng = new_world, calm, seconds, rng
        self._check_every = check_every
        self.kills = self.loads = 0

    def make(self, kills):
        """So many kills, and the load that is then under way to its end."""
        until = self.kills + kills
        while self.kills < until:
            world = self._new_world()
            while self.kills < until and self._live(world):
                if self.kills % self._check_every == 0:
                    self._check(world, whole=False)
            self._finish(world)

    def _live(self, world):
        """Whether it was killed before it was done."""
        program = world.start("run", *PIPELINES)
        time.sleep(self._rng.uniform(0, self._seconds))
        if program.process.poll() is not None:
            assert ended(program).code == 0, ended(program)
            return False
        killed(program)
        self.kills += 1
        return True

    def _finish(self, world):
        run = world.run(within=1800)  # most of a soak's load, on a busy machine
        assert run.code == 0, run
        self._check(world, whole=True)
        self.loads += 1
        world.remove()

    def _check(self, world, whole):
        faults = faults_of(world.sink, self._calm, whole)
        assert not faults, f"after {self.kills} kills, in load {self.loads}:\n" + "\n".join(faults)
