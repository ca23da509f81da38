#!/usr/bin/env python3
"""Kills members of a running cluster with SIGKILL, again and again under write load, and proves that no
acknowledged write was lost and that all members are equal in the end.

  driver.py NODE_PROGRAM [--kills 50] [--seed N] [--writers 6]
"""
import argparse
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

NODES = (1, 2, 3)
LEADER = "3"  # confman::role::leader


class Gone(Exception):
    """The process ended before it answered."""


class Node:
    """One process and the questions it has not answered yet."""

    def __init__(self, program, identity, directory, addresses):
        self.identity = identity
        self.lock = threading.Lock()
        self.waiting = {}
        self.alive = True
        self.numbers = itertools.count(1)
        self.process = subprocess.Popen(
            [program, str(identity), directory, *addresses],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="surrogateescape", bufsize=1)
        first = self.process.stdout.readline().strip()
        if first != "started":
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"node {identity} did not start: {first or 'it died'}")
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            number, _, answer = line.rstrip("\n").partition(" ")
            with self.lock:
                question = self.waiting.get(number)
            if question is None:
                continue
            question[0].append(answer)
            if not answer.startswith("entry "):
                question[1].set()
        with self.lock:
            self.alive = False
            waiting, self.waiting = self.waiting, {}
        for _, event in waiting.values():
            event.set()

    def ask(self, command, patience=20):
        """All lines of the answer; raises Gone."""
        question = ([], threading.Event())
        with self.lock:
            if not self.alive:
                raise Gone
            number = str(next(self.numbers))
            self.waiting[number] = question
            try:
                self.process.stdin.write(f"{number} {command}\n")
                self.process.stdin.flush()
            except OSError:
                raise Gone from None
        if not question[1].wait(patience):
            raise RuntimeError(f"node {self.identity} did not answer '{command[:60]}' within {patience} s")
        with self.lock:
            self.waiting.pop(number, None)
        if not question[0] or question[0][-1].startswith("entry "):
            raise Gone
        return question[0]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.reader.join()

    def quit(self):
        try:
            self.process.stdin.close()
        except OSError:
            pass
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


def free_ports(count):
    """Below the range from which the kernel takes the ports of outgoing connections: there a survivor that
    tries to reconnect could take the port of a killed member, which could then not listen again."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            first_outgoing = int(file.read().split()[0])
    except OSError:
        first_outgoing = 32768
    highest = max(first_outgoing, 12000) - 1
    ports = []
    for port in random.SystemRandom().sample(range(min(10000, highest - 1000), highest + 1), 1000):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError("found no free ports")


class Cluster:
    def __init__(self, program, directory):
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(len(NODES))]
        self.program, self.directory = program, directory
        self.nodes = {}

    def start(self, identity):
        home = os.path.join(self.directory, str(identity))
        self.nodes[identity] = Node(self.program, identity, home, self.addresses)

    def close(self):
        for node in self.nodes.values():
            if node.process.poll() is None:
                node.process.kill()
            node.process.wait()


class Ledger:
    """What was tried and what was acknowledged."""

    def __init__(self):
        self.lock = threading.Lock()
        self.tried = {}         # key -> values
        self.acknowledged = {}  # key -> [(index, value)]
        self.by_index = {}
        self.count = self.unknown = self.refused = 0
        self.problems = []

    def trying(self, key, value):
        with self.lock:
            self.tried.setdefault(key, set()).add(value)

    def done(self, key, value, index):
        with self.lock:
            self.count += 1
            self.acknowledged.setdefault(key, []).append((index, value))
            other = self.by_index.setdefault(index, (key, value))
            if other != (key, value):
                self.problems.append(f"two writes acknowledged at index {index}: {other}, {(key, value)}")


def write_load(number, cluster, ledger, stop, seed):
    """Writes until told to stop: a new key each, and now and then one that all writers share."""
    dice = random.Random(seed * 1000 + number)
    for i in itertools.count():
        if stop.is_set():
            return
        node = cluster.nodes[dice.choice(NODES)]
        key = "/shared/%d" % dice.randrange(20) if i % 4 == 0 else "/writer/%d/%d" % (number, i)
        value = "%d.%d.%s" % (number, i, "x" * dice.randrange(200))
        ledger.trying(key, value)
        try:
            words = node.ask(f"put {key} {value}")[-1].split(" ", 2)
        except Gone:
            with ledger.lock:
                ledger.unknown += 1
            time.sleep(0.01)
            continue
        except RuntimeError as error:
            with ledger.lock:
                ledger.problems.append(str(error))
            return
        if words[0] == "ok":
            ledger.done(key, value, int(words[2]))
        else:
            with ledger.lock:
                ledger.refused += 1


def wait_until_equal(cluster, seconds=30):
    """Revision and hash of every member, once all have applied the same; the dumps."""
    deadline = time.monotonic() + seconds
    while True:
        for node in cluster.nodes.values():
            node.ask("get /shared/0")
        dumps = {i: cluster.nodes[i].ask("dump", 60) for i in NODES}
        ends = {i: lines[-1] for i, lines in dumps.items()}
        if len({end.split()[1] for end in ends.values()}) == 1 or time.monotonic() > deadline:
            return ends, {i: lines[:-1] for i, lines in dumps.items()}
        time.sleep(0.2)


def verify(ledger, ends, dumps):
    problems = list(ledger.problems)
    if len(set(ends.values())) != 1:
        problems.append(f"the members differ: {ends}")
    for i in NODES[1:]:
        if dumps[i] != dumps[NODES[0]]:
            differing = set(dumps[i]) ^ set(dumps[NODES[0]])
            problems.append(f"{len(differing)} entries differ between members {NODES[0]} and {i}, "
                            f"such as {sorted(differing)[:2]}")
    for i in NODES:
        entries = {}
        for line in dumps[i]:
            _, key, revision, value = line.split(" ", 3)
            entries[key] = (int(revision), value)
        for key, writes in ledger.acknowledged.items():
            last, value = max(writes)
            if key not in entries:
                problems.append(f"member {i} lost {key}, acknowledged at index {last}")
                continue
            revision, found = entries[key]
            if revision < last:
                problems.append(f"member {i} has {key} of revision {revision}, but {last} was acknowledged")
            elif revision == last and found != value:
                problems.append(f"member {i} has another value for {key} at revision {last}")
        for key, (_, value) in entries.items():
            if value not in ledger.tried.get(key, ()):
                problems.append(f"member {i} has a value for {key} that nobody wrote")
    return problems


def role_of(cluster, identity):
    try:
        return cluster.nodes[identity].ask("status")[-1].split()[1]
    except Gone:
        raise RuntimeError(f"node {identity} died by itself") from None


def kill_loop(cluster, ledger, kills, dice):
    """Returns how many of the killed led, and the longest restart in seconds."""
    leaders, slowest = 0, 0.0
    for round_number in range(1, kills + 1):
        time.sleep(dice.uniform(0.05, 0.9))
        victim = dice.choice(NODES)
        leading = [i for i in NODES if role_of(cluster, i) == LEADER]
        if leading and dice.random() < 0.3:  # whose loss hurts most
            victim = leading[0]
        leaders += victim in leading
        cluster.nodes[victim].kill()
        time.sleep(dice.uniform(0, 0.5))
        begun = time.monotonic()
        cluster.start(victim)
        slowest = max(slowest, time.monotonic() - begun)
        if round_number % 10 == 0:
            with ledger.lock:
                print(f"{round_number} kills, {leaders} of a leader; {ledger.count} writes acknowledged, "
                      f"{ledger.refused} ended with an error, {ledger.unknown} cut off", flush=True)
    return leaders, slowest


def run(arguments, directory):
    dice = random.Random(arguments.seed)
    ledger = Ledger()
    cluster = Cluster(arguments.program, directory)
    stop = threading.Event()
    begun = time.monotonic()
    writers = []
    try:
        for i in NODES:
            cluster.start(i)
        for n in range(arguments.writers):
            load = (n, cluster, ledger, stop, arguments.seed)
            writers.append(threading.Thread(target=write_load, args=load, daemon=True))
        for w in writers:
            w.start()
        leaders, slowest = kill_loop(cluster, ledger, arguments.kills, dice)
        stop.set()
        for w in writers:
            w.join(30)
        ends, dumps = wait_until_equal(cluster)
        problems = verify(ledger, ends, dumps)
        if ledger.count < 20 * arguments.kills:
            problems.append(f"only {ledger.count} writes were acknowledged: that is no load")
        for i in NODES:
            if (code := cluster.nodes[i].quit()) != 0:
                problems.append(f"node {i} ended with {code} when its input ended")
    except RuntimeError as error:
        return [str(error), *ledger.problems]
    finally:
        stop.set()
        cluster.close()
    print(f"{arguments.kills} kills ({leaders} of a leader) in {time.monotonic() - begun:.0f} s, "
          f"slowest restart {slowest:.2f} s; {ledger.count} acknowledged writes of "
          f"{len(ledger.acknowledged)} keys", flush=True)
    if not problems:
        revision, digest, count = ends[1].split()[1:]
        print(f"all found on all {len(NODES)} members, which are equal: {count} keys at revision {revision}, "
              f"state hash {digest}", flush=True)
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed} (the order of kills; timing is the machine's)", flush=True)
    directory = tempfile.mkdtemp(prefix="confman-kill-")
    problems = run(arguments, directory)
    for problem in problems[:20]:
        print("error:", problem, file=sys.stderr)
    if problems:
        print(f"{len(problems)} problems; data directories kept in {directory}", file=sys.stderr)
    else:
        shutil.rmtree(directory)
    print("0 passed, 1 failed" if problems else "1 passed, 0 failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
