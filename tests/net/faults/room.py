"""What a scenario is, and what it runs in."""
import contextlib
import os
import random

from clients import Load
from judge import Judge
from nodes import Cluster

# Snapshots and cut logs all the time, so that faults meet them too.
BUSY_LOG = ("--snapshot-entries", "500", "--tail-entries", "100")


class Room:
    """What one scenario runs in: network, directory, programs, dice; closes what it has opened."""

    def __init__(self, programs, network, directory, rounds, seed):
        self.network, self.directory, self.rounds = network, directory, rounds
        self.programs = programs
        self.dice = random.Random(seed)
        self.seed = seed
        self.judge = Judge(os.path.join(programs, "check", "confman_check"), directory)
        self.opened, self.clusters, self.loads = [], [], []

    def cluster(self, *flags):
        confmand = os.path.join(self.programs, "cluster", "confmand")
        self.clusters.append(Cluster(confmand, self.network, self.directory, flags))
        return self.clusters[-1]

    def load(self, cluster, **how):
        self.loads.append(Load(cluster, self.directory, seed=self.seed, **how))
        return self.loads[-1]

    def keep(self, thing):
        """Closed at the end, after the nodes, in the reverse order."""
        self.opened.append(thing)
        return thing

    def close(self):
        """All of it, even if one fails. Also the clients: they would go on with the nodes of the next
        scenario, which have the same addresses."""
        with contextlib.ExitStack() as last_in_first_out:
            for thing in self.opened:
                last_in_first_out.callback(thing.close)
            for load in self.loads:
                last_in_first_out.callback(load.end)
            for cluster in self.clusters:
                last_in_first_out.callback(cluster.close)


class Scenario:
    def __init__(self, name, rounds, smoke_rounds, needs, function):
        self.name, self.rounds, self.smoke_rounds, self.needs = name, rounds, smoke_rounds, needs
        self.run = function
        self.about = " ".join(function.__doc__.split())

    def missing(self, reasons):
        """Why it can't run here, or None. `reasons`: why there is none of what scenarios need, or None."""
        return next((reasons[need] for need in self.needs if reasons[need]), None)


ALL = []


def scenario(rounds, smoke_rounds=0, needs=()):
    def add(function):
        ALL.append(Scenario(function.__name__, rounds, smoke_rounds, needs, function))
        return function
    return add
