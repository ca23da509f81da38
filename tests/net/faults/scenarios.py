"""Faults of processes and of the network: what each does to the nodes, and what must hold."""
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time

from network import HTTP_PORT, PEER_PORT
from nodes import ELECTION_MS, Failed
from room import BUSY_LOG, scenario

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
    cluster.start(*cluster.nodes)
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


class EarlyReads:
    """Linearizable reads that reach a stopped process before it goes on: they were called after everything
    that the others acknowledged meanwhile, and are the first that it sees."""

    def __init__(self, cluster, load, node, count=12):
        self.load = load
        self.sockets = [socket.create_connection((cluster.network.address(node), HTTP_PORT), timeout=10)
                        for _ in range(count)]
        self.sent = []

    def send(self, dice, mode="linearizable"):
        for s in self.sockets:
            key, call = self.load.some_key(dice), time.monotonic_ns()
            s.sendall(f"GET /v1/kv{key}?consistency={mode} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n"
                      "\r\n".encode())
            self.sent.append((key, s, call))

    def collect(self):
        """Writes down what was answered. Returns how many said a value, or that there is none."""
        answered = 0
        for key, s, call in self.sent:
            answered += self.load.driver.response(s, "get", key, {"mode": "linearizable"}, call)
            s.close()
        return answered


def stop_leader(cluster, load, dice, mode):
    """One round of stop(). Returns how many early reads were answered."""
    stopped = cluster.leader()
    reads = EarlyReads(cluster, load, stopped)
    cluster.signal(signal.SIGSTOP, stopped)
    try:
        began = time.monotonic()
        cluster.leader([i for i in cluster.nodes if i != stopped])
        load.wait_progress()
        time.sleep(max(0.0, began + 3 * ELECTION_MS / 1000 - time.monotonic()))
        reads.send(dice, mode)
    finally:
        cluster.signal(signal.SIGCONT, stopped)
    return reads.collect()


@scenario(rounds=12)
def stop(room):
    """SIGSTOP of the leader for three election timeouts, meanwhile others are elected and written to; then it
    goes on and answers reads that were sent to it before: none may be stale."""
    cluster, dice = room.cluster(*BUSY_LOG), room.dice
    cluster.start(*cluster.nodes)
    cluster.leader()
    load = room.load(cluster).start()
    load.wait_progress()
    answered = 0
    for _ in range(room.rounds):
        answered += stop_leader(cluster, load, dice, "linearizable")
        load.wait_progress()
        time.sleep(dice.uniform(0.1, 0.5))
    figures = room.judge.check(cluster, load)
    cluster.stop()
    if not answered:
        raise Failed("no early read was answered: nothing was shown")
    return f"{room.rounds} stops of a leader, {answered} early reads answered; {figures}"


@scenario(rounds=1)
def stale_reads(room):
    """Proof that a stale read would be noticed: the early reads of `stop` are local ones, written down as
    linearizable, and the judge must refuse them."""
    cluster = room.cluster()
    cluster.start(*cluster.nodes)
    cluster.leader()
    load = room.load(cluster).start()
    load.wait_progress()
    answered = 0
    for _ in range(6):  # one may catch up before it answers
        answered += stop_leader(cluster, load, room.dice, "local")
        load.wait_progress()
    if not answered:
        raise Failed("no early read was answered: nothing was shown")
    files, final, _ = room.judge.gather(cluster, load)
    return room.judge.must_refuse(files, final, "stale_read")


def both_ways(pairs):
    return {(a, b) for pair in pairs for a, b in (pair, pair[::-1])}


def halves(cluster, dice, lead):
    """The leader on the smaller side, or on the larger."""
    others = [i for i in cluster.nodes if i != lead]
    dice.shuffle(others)
    minority = others[:len(cluster.nodes) - cluster.majority()]
    if dice.random() < 0.6:
        minority = [lead, *minority[1:]]
    rest = [i for i in cluster.nodes if i not in minority]
    return both_ways(itertools.product(minority, rest)), True


def isolate(cluster, dice, lead):
    """One node alone, the leader or a follower."""
    alone = dice.choice((lead, dice.choice(cluster.nodes)))
    return both_ways((alone, i) for i in cluster.nodes if i != alone), True


def one_way(cluster, dice, lead):
    """A node hears nobody, or nobody hears it, or one link works one way only."""
    node = dice.choice((lead, lead, *cluster.nodes))
    others = [i for i in cluster.nodes if i != node]
    if dice.random() < 0.3:
        others = [dice.choice(others)]
    pairs = {(node, i) for i in others}
    return (pairs if dice.random() < 0.5 else {(b, a) for a, b in pairs}), True


def bridge(cluster, dice, lead):
    """Two groups that don't hear each other, and one node between them that hears both."""
    middle = dice.choice((lead, dice.choice(cluster.nodes)))
    others = [i for i in cluster.nodes if i != middle]
    dice.shuffle(others)
    half = len(others) // 2
    return both_ways(itertools.product(others[:half], others[half:])), True


def scattered(cluster, _dice, _lead):
    """Nobody hears anybody: nothing may be acknowledged."""
    return set(itertools.permutations(cluster.nodes, 2)), False


PARTITIONS = (halves, isolate, one_way, bridge, scattered)


@scenario(rounds=30, smoke_rounds=2, needs=["cuts"])
def partition(room):
    """nftables drops what some nodes send to others: halves, one node alone, one way, a bridge, all apart;
    the side with a majority goes on, and when all is healed all go on; no client's reads go back."""
    cluster, dice = room.cluster(*BUSY_LOG), room.dice
    cluster.start(*cluster.nodes)
    cluster.leader()
    load = room.load(cluster, monotonic=True).start()
    load.wait_progress()
    slowest_inside = slowest_after = 0.0
    for n in range(room.rounds):
        kind = PARTITIONS[n % len(PARTITIONS)]
        pairs, goes_on = kind(cluster, dice, cluster.leader())
        cluster.network.cut(pairs)
        time.sleep(dice.uniform(0.3, 2.0))
        if goes_on:
            slowest_inside = max(slowest_inside, load.wait_progress())
        else:
            require_standstill(load)
        cluster.network.heal()
        slowest_after = max(slowest_after, load.wait_progress())
        cluster.require_running()
    figures = room.judge.check(cluster, load, "--monotonic")
    cluster.stop()
    return (f"{room.rounds} partitions, slowest progress within {slowest_inside:.1f} s, after healing "
            f"{slowest_after:.1f} s; {figures}")


@scenario(rounds=1, needs=["cuts"])
def going_back(room):
    """Proof that a client would be noticed that goes back: clients that read from any node what it has, one
    of which hears nothing new; and the judge, told that they don't go back, must refuse them."""
    cluster = room.cluster()
    cluster.start(*cluster.nodes)
    behind = next(i for i in cluster.nodes if i != cluster.leader())
    load = room.load(cluster).start()
    load.wait_progress()
    cluster.network.cut(both_ways((behind, i) for i in cluster.nodes if i != behind))
    load.wait_progress(200)
    cluster.network.heal()
    load.wait_progress()
    files, final, _ = room.judge.gather(cluster, load)
    return room.judge.must_refuse(files, final, "monotonic", "--monotonic")


def require_standstill(load):
    before = load.counts()["write answered"]
    time.sleep(2 * ELECTION_MS / 1000)
    if (more := load.counts()["write answered"] - before) != 0:
        raise Failed(f"{more} writes were acknowledged while no two nodes heard each other")


class SlowLinks:
    """The nodes reach each other through proxies in the hub, one for each node, which delay everything."""

    def __init__(self, cluster):
        self.proxies = {}
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy.py")
        for node, address in cluster.members.items():
            port = PEER_PORT + 100 + node
            command = ["setpriv", "--pdeathsig", "KILL", sys.executable, program,
                       f"{cluster.network.hub}:{port}", address]
            self.proxies[node] = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
            cluster.members[node] = f"{cluster.network.hub}:{port}"

    def set(self, node, **how):
        """delay and jitter in seconds, bytes_per_second; what isn't named is as fast as it can."""
        self.proxies[node].stdin.write(json.dumps(how) + "\n")
        self.proxies[node].stdin.flush()

    def close(self):
        for proxy in self.proxies.values():
            proxy.kill()
            proxy.wait()
            proxy.stdin.close()


@scenario(rounds=12)
def slow(room):
    """Links through a proxy with 1 to 150 ms of delay and jitter, or 20 to 200 KB/s, towards some nodes or
    all, changing every few seconds; now and then one is silent for longer than an election takes."""
    cluster, dice = room.cluster(*BUSY_LOG), room.dice
    links = room.keep(SlowLinks(cluster))
    cluster.start(*cluster.nodes)
    cluster.leader()
    load = room.load(cluster).start()
    slowest = load.wait_progress()
    for _ in range(room.rounds):
        for node in cluster.nodes:
            delay = dice.choice((0, 0.001, 0.02, 0.15))
            links.set(node, delay=delay, jitter=delay * dice.random(),
                      bytes_per_second=dice.choice((0, 0, 20_000, 200_000)))
        if dice.random() < 0.3:
            links.set(cluster.leader(), delay=4 * ELECTION_MS / 1000)
        time.sleep(dice.uniform(1, 3))
        slowest = max(slowest, load.wait_progress(seconds=60))
        cluster.require_running()
    for node in cluster.nodes:
        links.set(node)
    load.wait_progress()
    figures = room.judge.check(cluster, load)
    cluster.stop()
    return f"{room.rounds} settings of the links, slowest progress {slowest:.1f} s; {figures}"
