"""What must hold when the faults are over."""
import json
import os
import re
import subprocess
import time

from clients import PREFIX, Cut, NotSent, Wire, list_answer
from nodes import Failed

FIRST_READER = 1000  # number of the client that reads node 1 in the end
VIOLATION = 1  # exit status of confman_check


def wait_equal(cluster, seconds=60):
    """All nodes have applied the same entries and have the same state."""
    deadline = time.monotonic() + seconds
    while True:
        cluster.require_running()
        said = [cluster.status(i) for i in cluster.nodes]
        if all(said):
            ends = {(s["applied"], s["state_hash"]) for s in said}
            if len(ends) == 1:
                return ends.pop()
            hashes = {}
            for s in said:
                if hashes.setdefault(s["applied"], s["state_hash"]) != s["state_hash"]:
                    raise Failed(f"the nodes have applied the same entries and differ: {sorted(ends)}")
        if time.monotonic() > deadline:
            raise Failed(f"the nodes are not equal after {seconds} s: {said}")
        time.sleep(0.1)


def read_all(cluster, path, nodes=None, seconds=60):
    """What each of these nodes (all) has in the end, as lines of a history. Each read is linearizable: it
    sees all that was acknowledged before."""
    target = f"/v1/kv?prefix={PREFIX}&limit=10000&consistency=linearizable"
    wire = Wire({i: cluster.network.address(i) for i in cluster.nodes})
    with open(path, "w", encoding="ascii") as file:
        for node in nodes or cluster.nodes:
            deadline = time.monotonic() + seconds
            status = None
            while status != 200:
                if time.monotonic() > deadline:
                    raise Failed(f"the last read of node {node} gets {status}: {cluster.log_of(node)}")
                call = time.monotonic_ns()
                try:
                    status, headers, body = wire.request(node, "GET", target)
                except (NotSent, Cut):
                    time.sleep(0.1)
            line = {"client": FIRST_READER + node, "op": "list", "key": PREFIX,
                    "in": {"mode": "linearizable"}, "out": list_answer(headers, body), "ok": True,
                    "call_ns": call, "return_ns": time.monotonic_ns()}
            file.write(json.dumps(line) + "\n")


class Judge:
    def __init__(self, confman_check, directory):
        self.program, self.directory = confman_check, directory

    def verdict(self, files, final, *flags):
        """(exit code, output) of confman_check."""
        command = [self.program, *files, "--final", final, *flags]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False,
                              timeout=600)
        with open(os.path.join(self.directory, "verdict.txt"), "w", encoding="utf-8") as file:
            file.write(done.stdout + done.stderr)
        return done.returncode, done.stdout + done.stderr

    def gather(self, cluster, load):
        """Ends the clients. Returns the files of their history, and what all nodes have in the end."""
        files = load.stop()
        applied, state = wait_equal(cluster)
        final = os.path.join(self.directory, "final.jsonl")
        read_all(cluster, final)
        counts = load.counts()
        idle = [name for name in load.required if not counts[name]]
        if idle:
            raise Failed(f"that was no load: none {', none '.join(idle)}")
        return files, final, f"all nodes equal at {applied} ({state})"

    def check(self, cluster, load, *flags):
        """Ends the clients and judges all that they were answered. Returns figures."""
        files, final, equal = self.gather(cluster, load)
        began = time.monotonic()
        code, said = self.verdict(files, final, *flags)
        if code != 0:
            raise Failed(f"confman_check ends with {code}:\n{said[:3000]}")
        judged = re.findall(r"^([a-z ]+): good, (\d+) operations", said, re.MULTILINE)
        if not judged or not all(int(number) for _, number in judged):
            raise Failed(f"confman_check judged nothing:\n{said[:1000]}")
        counts = load.counts()
        figures = ", ".join(f"{counts[name]} {name}" for name in sorted(counts))
        return (f"{figures}; {equal}; judged in "
                f"{time.monotonic() - began:.0f} s: "
                + ", ".join(f"{name} {number}" for name, number in judged))

    def must_refuse(self, files, final, rule, *flags):
        """For histories that are wrong: the judge must name this rule, whatever else it finds. That it didn't
        run, or couldn't read them, is no refusal. Without the search, which takes its time before it gives
        up."""
        code, said = self.verdict(files, final, "--witness", *flags)
        found = re.findall(rf"^  {rule}: .*", said, re.MULTILINE)
        if code != VIOLATION or not found:
            raise Failed(f"wrong by {rule}, and confman_check ends with {code}:\n{said[:3000]}")
        return "refused, as it must be: " + " ".join(found[0].split())[:300]
