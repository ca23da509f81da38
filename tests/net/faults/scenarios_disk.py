"""Faults of disks: what each does to the nodes, and what must hold."""
import os
import signal
import subprocess
import threading
import time

from disks import Image, Tmpfs, fill
from judge import read_all
from nodes import Failed
from room import BUSY_LOG, scenario
from scenarios import PARTITIONS

SEGMENT = 64 << 20  # bytes of one file of the log
MAP_STOPPED = 1  # exit status of confmand whose disk failed


def with_images(room, cluster, nodes=None, mib=512):
    """Each node's directory on a file system of its own."""
    return {i: room.keep(Image(os.path.join(room.directory, f"disk{i}.img"), cluster.home[i], mib))
            for i in nodes or cluster.nodes}


def lose_power(cluster, images, nodes):
    """Of all these at the same time, as nearly as threads can."""
    gate = threading.Barrier(len(nodes))
    problems = []

    def off(node):
        gate.wait()
        try:
            images[node].power_off()
        except OSError as error:
            problems.append(error)

    threads = [threading.Thread(target=off, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    # A node may have noticed its dead disk and ended before this.
    for node in nodes:
        cluster.processes[node].kill()
        cluster.processes[node].wait()
    for node in nodes:
        images[node].power_on()


@scenario(rounds=55, smoke_rounds=2, needs=["disks"])
def power(room):
    """Loss of power of all nodes at once, of one or of a majority, under load: what was not synced is gone.
    ext4 is shut down without flushing its journal, the process is killed, the file system is mounted anew."""
    cluster, dice = room.cluster(*BUSY_LOG), room.dice
    images = with_images(room, cluster)
    cluster.start(*cluster.nodes)
    cluster.leader()
    load = room.load(cluster).start()
    slowest, losses, everywhere, recovering = load.wait_progress(), 0, 0, 0
    while losses < room.rounds:
        time.sleep(dice.uniform(0.1, 0.8))
        how_many = len(cluster.nodes) if losses % 2 == 0 else dice.choice((1, 1, cluster.majority()))
        victims = dice.sample(cluster.nodes, how_many)
        cluster.require_running()
        for again in range(1 + (dice.random() < 0.15)):
            time.sleep(again * dice.uniform(0, 0.3))
            lose_power(cluster, images, victims)
            cluster.start(*victims)
            losses += 1
            everywhere += how_many == len(cluster.nodes)
            recovering += again
        slowest = max(slowest, load.wait_progress())
        cluster.require_running()
    figures = room.judge.check(cluster, load)
    cluster.stop()
    return (f"{losses} losses of power, {everywhere} of all nodes at once, {recovering} during recovery, "
            f"slowest recovery {slowest:.1f} s; {figures}")


class Filler:
    """Large values, so that logs grow; nobody's history."""

    def __init__(self, cluster):
        self.cluster, self.count = cluster, 0

    def put(self):
        """True if it was acknowledged."""
        self.count += 1
        node = self.cluster.nodes[self.count % len(self.cluster.nodes)]
        try:
            status, _ = self.cluster.ask(node, "PUT", f"/v1/kv/fill/{self.count % 4}", b"f" * 200_000)
        except (OSError, ValueError):
            return False
        return status in (200, 201)

    def until(self, done, what, seconds=90):
        """Writes until done()."""
        deadline = time.monotonic() + seconds
        while not done():
            self.put()
            if time.monotonic() > deadline:
                raise Failed(f"not within {seconds} s: {what}")


def wait_failed(cluster, filler, node, words):
    """Writes until the node has ended because of its disk: with status 1, and words that say why."""
    filler.until(lambda: not cluster.running(node), f"node {node}, whose disk is full, ends")
    status, said = cluster.processes[node].returncode, cluster.log_of(node)
    if status != MAP_STOPPED:
        raise Failed(f"node {node} ended with {status}, not {MAP_STOPPED}: {said}")
    missing = [word for word in words if word not in said]
    if missing:
        raise Failed(f"node {node} does not say {missing}: {said}")


@scenario(rounds=2, needs=["disks"])
def full_disk(room):
    """ENOSPC: a disk fills up under load, that of the leader or all. The node stops acknowledging and ends
    with a clear error, the others elect and go on; when there is space again it starts and catches up."""
    cluster, dice = room.cluster(), room.dice  # no snapshots: the log must grow
    images = with_images(room, cluster, mib=700)
    cluster.start(*cluster.nodes)
    cluster.leader()
    load = room.load(cluster, pause=0.02).start()
    load.wait_progress()
    filler = Filler(cluster)
    everywhere = 0
    for n in range(room.rounds):
        lead = cluster.leader()
        victims = list(cluster.nodes) if n % 2 == 1 else [lead]
        everywhere += len(victims) > 1
        ballast = [fill(images[i].mounted_at) for i in victims]
        if len(victims) == 1:
            wait_failed(cluster, filler, lead, ("No space left on device", "free space"))
            load.wait_progress()
            if cluster.leader() == lead:
                raise Failed("a node that ended leads")
        else:
            filler.until(lambda: sum(map(cluster.running, cluster.nodes)) < cluster.majority(),
                         "a majority ends whose disks are full")
            before = load.counts()["write answered"]
            time.sleep(1.0)
            if load.counts()["write answered"] > before + len(load.clients):
                raise Failed("writes are acknowledged while a majority is down")
        for path in ballast:
            os.unlink(path)
        cluster.start(*(i for i in cluster.nodes if not cluster.running(i)))
        load.wait_progress()
        time.sleep(dice.uniform(0.2, 0.5))
        cluster.require_running()
    figures = room.judge.check(cluster, load)
    cluster.stop()
    return (f"{room.rounds} full disks ({everywhere} times on all nodes): each node ended with status 1 and "
            f"said why, and started again; {figures}")


def snapshot_of(cluster, node):
    said = cluster.status(node)
    return said["snapshot"] if said else 0


def wait_for(done, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def prepared(cluster, node):
    """The log has two preallocated files: it needs no space until one is full."""
    data = os.path.join(cluster.home[node], "data")
    return sum(os.stat(os.path.join(data, name)).st_blocks for name in os.listdir(data)) * 512 >= 2 * SEGMENT


def cannot_snapshot(cluster, images, node):
    """A snapshot that was under way gives its predecessor's space free: takes that, until one has none."""
    fill(images[node].mounted_at)
    return "No space left" in cluster.log_of(node) or not cluster.running(node)


@scenario(rounds=3, needs=["disks"])
def full_snapshot(room):
    """ENOSPC for a snapshot: the log has room in its preallocated files, the next snapshot has none. The node
    says so and goes on; when there is space again it takes one."""
    cluster, dice = room.cluster(*BUSY_LOG), room.dice
    images = with_images(room, cluster)
    cluster.start(*cluster.nodes)
    cluster.leader()
    load = room.load(cluster).start()
    load.wait_progress()
    for n in range(room.rounds):
        node = cluster.leader() if n % 2 == 0 else dice.choice(cluster.nodes)
        wait_for(lambda node=node: snapshot_of(cluster, node) > 0, f"node {node} takes a snapshot")
        wait_for(lambda node=node: prepared(cluster, node), f"node {node} prepares its next segment")
        before = snapshot_of(cluster, node)
        wait_for(lambda node=node: cannot_snapshot(cluster, images, node), f"node {node} has no space")
        ballast = fill(images[node].mounted_at)
        load.wait_progress()
        cluster.require_running()
        os.unlink(ballast)
        wait_for(lambda node=node, before=before: snapshot_of(cluster, node) > before + 600,
                 f"node {node} takes a snapshot again")
        cluster.require_running()
    figures = room.judge.check(cluster, load)
    cluster.stop()
    return f"{room.rounds} times no space for a snapshot: the node went on; {figures}"


@scenario(rounds=2, needs=["disks"])
def failing_sync(room):
    """A sync that fails and would then succeed: ext4 without journal on a full tmpfs, so that the loop device
    fails. The node ends at the first and never tries again; on a sound disk it starts and goes on."""
    cluster, victim = room.cluster(), 1
    beneath = room.keep(Tmpfs(os.path.join(room.directory, "beneath"), 600))
    room.keep(Image(os.path.join(beneath.path, "disk.img"), cluster.home[victim], 900, journal=False))
    cluster.start(*cluster.nodes)
    load = room.load(cluster, pause=0.02).start()
    load.wait_progress()
    filler = Filler(cluster)
    for n in range(room.rounds):
        if n % 2 == 0:  # it leads when its disk fails
            cluster.ask(cluster.leader(), "POST", f"/v1/leader?to={victim}")
        load.wait_progress()
        ballast = fill(beneath.path)
        wait_failed(cluster, filler, victim, ("ended: sync ",))
        os.unlink(ballast)
        load.wait_progress()
        cluster.start(victim)
        load.wait_progress()
        cluster.require_running()
    figures = room.judge.check(cluster, load)
    cluster.stop()
    return f"{room.rounds} failed syncs: the node ended with status 1 each time, and started again; {figures}"


class Storm:
    """Faults that come while others last. Each returns how it is undone."""

    def __init__(self, cluster, images, dice):
        self.cluster, self.images, self.dice = cluster, images, dice
        self.down, self.count = set(), dict.fromkeys(("kill", "power", "pause", "cut"), 0)

    def up(self):
        return [i for i in self.cluster.nodes if i not in self.down]

    def victims(self):
        up = self.up()
        how_many = self.dice.choice((1, 1, 1, len(up)))
        return self.dice.sample(up, min(how_many, len(up)))

    def restart(self, victims):
        self.cluster.start(*victims)
        self.down -= set(victims)

    def kill(self):
        victims = self.victims()
        self.cluster.kill(*victims)
        self.down |= set(victims)
        return lambda: self.restart(victims)

    def power(self):
        victims = self.victims()
        lose_power(self.cluster, self.images, victims)
        self.down |= set(victims)
        return lambda: self.restart(victims)

    def pause(self):
        victims = self.victims()[:1]
        processes = [self.cluster.processes[i] for i in victims]
        self.cluster.signal(signal.SIGSTOP, *victims)

        def go_on():
            for process in processes:  # it may have been killed meanwhile
                if process.poll() is None:
                    process.send_signal(signal.SIGCONT)
        return go_on

    def cut(self):
        kind = self.dice.choice(PARTITIONS)
        pairs, _ = kind(self.cluster, self.dice, self.dice.choice(self.cluster.nodes))
        self.cluster.network.cut(pairs)
        return self.cluster.network.heal

    def round(self):
        """Some faults, one after another, then their ends, in any order."""
        undo = []
        for name in self.dice.choices(list(self.count), k=self.dice.randrange(1, 4)):
            if self.up() or name == "cut":
                undo.append(getattr(self, name)())
                self.count[name] += 1
            time.sleep(self.dice.choice((0, self.dice.uniform(0, 0.8))))
        self.dice.shuffle(undo)
        for end in undo:
            end()
            time.sleep(self.dice.choice((0, self.dice.uniform(0, 0.5))))


@scenario(rounds=40, needs=["disks", "cuts"])
def storm(room):
    """All of it at once: kill -9, loss of power, pauses and partitions that overlap."""
    cluster = room.cluster(*BUSY_LOG)
    weather = Storm(cluster, with_images(room, cluster), room.dice)
    cluster.start(*cluster.nodes)
    cluster.leader()
    load = room.load(cluster).start()
    slowest = load.wait_progress()
    for n in range(room.rounds):
        weather.round()
        if room.dice.random() < 0.6 or n + 1 == room.rounds:
            slowest = max(slowest, load.wait_progress())
        cluster.require_running()
    figures = room.judge.check(cluster, load)
    cluster.stop()
    faults = ", ".join(f"{count} times {name}" for name, count in weather.count.items())
    return f"{faults}, slowest recovery {slowest:.1f} s; {figures}"


# How a node says that its own disk has lost what it had acknowledged: when it starts, or when its leader
# sends what it no longer has.
LOSSES = ("log damaged: ", "is damaged or not confman's", "but no file 'identity'",
          "its log lacks entries that it acknowledged")


def wait_refusals(cluster, seconds=10):
    """Those that end because of what their disk has lost, by the time that the others have a leader and some
    more."""
    deadline = time.monotonic() + seconds
    refusing = []
    while time.monotonic() < deadline:
        time.sleep(0.1)
        refusing = [i for i in cluster.nodes if not cluster.running(i)]
        for node in refusing:
            if not any(words in cluster.log_of(node) for words in LOSSES):
                cluster.require_running(node)
        up = [i for i in cluster.nodes if i not in refusing]
        if len(up) < cluster.majority():
            break
        if any(s and s["role"] == "leader" for s in map(cluster.status, up)):
            deadline = min(deadline, time.monotonic() + 2)
    return refusing


@scenario(rounds=1, needs=["disks", "compiler"])
def no_sync(room):
    """Proof that the loss of power is one: nodes whose syncs do nothing lose power all at once. A majority
    must say what its disks have lost, or the judge must miss in the others what was acknowledged."""
    library = os.path.join(room.directory, "no_sync.so")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "no_sync.cpp")
    subprocess.run(["g++", "-shared", "-fPIC", "-o", library, source], check=True)
    cluster = room.cluster()
    images = with_images(room, cluster)
    cluster.environment["LD_PRELOAD"] = library
    cluster.start(*cluster.nodes)
    cluster.leader()
    load = room.load(cluster).start()
    load.wait_progress(200, 60)
    files = load.stop()
    lose_power(cluster, images, cluster.nodes)
    cluster.start(*cluster.nodes)
    refusing = wait_refusals(cluster)
    up = [i for i in cluster.nodes if i not in refusing]
    if len(up) < cluster.majority():
        return f"nodes {refusing} refuse to go on, as they must: {cluster.log_of(refusing[0])[-300:].strip()}"
    final = os.path.join(room.directory, "final.jsonl")
    read_all(cluster, final, up)
    return room.judge.must_refuse(files, final, "lost_write")
