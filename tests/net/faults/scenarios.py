"""The scenarios: what each does to the nodes, and what must hold."""
import os
import random
import time

from clients import Load
from judge import Judge
from nodes import Cluster, Failed


class Room:
    """What one scenario runs in: network, directory, programs, dice; closes what it has opened."""

    def __init__(self, programs, network, directory, rounds, seed):
        self.network, self.directory, self.rounds = network, directory, rounds
        self.programs = programs
        self.dice = random.Random(seed)
        self.seed = seed
        self.judge = Judge(os.path.join(programs, "check", "confman_check"), directory)
        self.opened = []

    def cluster(self, *flags):
        confmand = os.path.join(self.programs, "cluster", "confmand")
        return self.keep(Cluster(confmand, self.network, self.directory, flags))

    def load(self, cluster, **how):
        return Load(cluster, self.directory, seed=self.seed, **how)

    def keep(self, thing):
        """Closed at the end, in the reverse order."""
        self.opened.append(thing)
        return thing

    def close(self):
        for thing in reversed(self.opened):
            thing.close()


class Scenario:
    def __init__(self, name, rounds, smoke_rounds, needs, function):
        self.name, self.rounds, self.smoke_rounds, self.needs = name, rounds, smoke_rounds, needs
        self.run = function
        self.about = " ".join(function.__doc__.split())

    def missing(self, isolated):
        """Why it can't run here, or None. `isolated`: yes, or why there are no namespaces."""
        for need in self.needs:
            reason = need(isolated)
            if reason:
                return reason
        return None


ALL = []


def scenario(rounds, smoke_rounds=0, needs=()):
    def add(function):
        ALL.append(Scenario(function.__name__, rounds, smoke_rounds, needs, function))
        return function
    return add


# Snapshots and cut logs all the time, so that faults meet them too.
BUSY_LOG = ("--snapshot-entries", "2000", "--tail-entries", "300")


def some_victims(cluster, dice):
    """One node, mostly, and often the leader; sometimes as many as the cluster can't do without."""
    how_many = dice.choices((1, cluster.majority(), len(cluster.nodes)), (80, 10, 10))[0]
    victims = set(dice.sample(cluster.nodes, how_many))
    if how_many == 1 and dice.random() < 0.5:
        known = [s for s in map(cluster.status, cluster.nodes) if s and s["role"] == "leader"]
        victims = {known[0]["id"]} if known else victims
    return sorted(victims)


@scenario(rounds=310, smoke_rounds=12)
def kill(room):
    """kill -9 of one node, most or all, again and again under load, also while they recover."""
    cluster, dice = room.cluster(*BUSY_LOG), room.dice
    cluster.start()
    cluster.leader()
    load = room.load(cluster).start()
    kills = at_once = recovering = 0
    slowest = load.wait_progress()
    while kills < room.rounds:
        time.sleep(dice.uniform(0.05, 0.4))
        victims = some_victims(cluster, dice)
        cluster.kill(*victims)
        kills += len(victims)
        at_once += len(victims) > 1
        time.sleep(dice.choice((0, dice.uniform(0, 0.4))))
        cluster.start(*victims)
        if dice.random() < 0.15:
            time.sleep(dice.uniform(0, 0.1))
            cluster.kill(*victims)
            kills += len(victims)
            recovering += 1
            cluster.start(*victims)
        if dice.random() < 0.7:
            slowest = max(slowest, load.wait_progress())
        cluster.require_running()
        if kills % 50 < len(victims):
            print(f"   {kills} kills, {load.counts()['write answered']} writes answered", flush=True)
    slowest = max(slowest, load.wait_progress())
    figures = room.judge.check(cluster, load)
    cluster.stop()
    if load.counts()["write answered"] < 10 * kills:
        raise Failed(f"only {load.counts()['write answered']} writes were answered: that is no load")
    return (f"{kills} kills ({at_once} times several at once, {recovering} times again at once), "
            f"slowest recovery {slowest:.1f} s; {figures}")
