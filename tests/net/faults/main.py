#!/usr/bin/env python3
"""Real faults for real processes, judged by their clients' histories. Started by ../run.sh."""
import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

import disks
import network
import scenarios  # noqa: F401 (they enter room.ALL)
import scenarios_disk  # noqa: F401
from nodes import Failed
from room import ALL, Room


def parse():
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    parser.add_argument("--scenario", action="append", default=[], metavar="NAME",
                        help="only this one (repeatable)")
    parser.add_argument("--list", action="store_true", help="name the scenarios and what they show")
    parser.add_argument("--smoke", action="store_true",
                        help="a little of the most important ones, within a minute")
    parser.add_argument("--rounds", type=int, metavar="N", help="instead of each scenario's own number")
    parser.add_argument("--nodes", type=int, choices=(3, 5), default=3)
    parser.add_argument("--keep", action="store_true", help="keep histories, logs and data directories")
    parser.add_argument("--seed", type=int, default=None,
                        help="of the order of faults; timing is the machine's")
    # By run.sh: why this has no namespaces of its own, if so; where the programs are.
    parser.add_argument("--not-isolated", default="", help=argparse.SUPPRESS)
    parser.add_argument("--programs", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = set(arguments.scenario) - {s.name for s in ALL}
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; --list names them")
    return arguments


def chosen(arguments):
    if arguments.scenario:
        return [s for s in ALL if s.name in arguments.scenario]
    return [s for s in ALL if s.smoke_rounds or not arguments.smoke]


def run_one(scenario, arguments, net, reasons, directory):
    """Returns passed, failed or skipped."""
    missing = scenario.missing(reasons)
    if missing:
        print(f"-- {scenario.name}: skipped: {missing}", flush=True)
        return "skipped"
    rounds = arguments.rounds or (scenario.smoke_rounds if arguments.smoke else scenario.rounds)
    print(f"-- {scenario.name}, {rounds} rounds", flush=True)
    began = time.monotonic()
    try:
        room = Room(arguments.programs, net, directory, rounds, arguments.seed)
        try:
            said = scenario.run(room)
        finally:
            room.close()
            net.heal()
    except Failed as failure:
        print(f"   FAILED after {time.monotonic() - began:.0f} s: {failure}", flush=True)
        return "failed"
    except Exception:  # a fault of the test itself is one of this scenario, and the others still run
        print(f"   FAILED after {time.monotonic() - began:.0f} s: {traceback.format_exc()}", flush=True)
        return "failed"
    print(f"   ok, {time.monotonic() - began:.0f} s: {said}", flush=True)
    return "passed"


def place():
    """TMPDIR if it is set, else memory if there is enough of it: a machine's disk is slow and shared, and
    what a process or a file system of its own loses does not depend on it."""
    memory = "/dev/shm"
    if "TMPDIR" in os.environ or not os.path.isdir(memory):
        return None
    about = os.statvfs(memory)
    return memory if about.f_bavail * about.f_frsize >= 4 << 30 else None


def main():
    # As process 1 of its namespace it would ignore it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse()
    if arguments.list:
        for scenario in ALL:
            print(f"{scenario.name:12} {scenario.about}")
        return 0
    for program in ("cluster/confmand", "check/confman_check"):
        if not os.access(os.path.join(arguments.programs, program), os.X_OK):
            name = os.path.basename(program)
            print(f"error: {arguments.programs}/{program} is missing; build the target {name}, or set "
                  "BUILD_DIR", file=sys.stderr)
            return 2
    if arguments.seed is None:
        arguments.seed = int.from_bytes(os.urandom(4), "little")
    net = network.make(arguments.nodes, arguments.not_isolated)
    reasons = {"cuts": net.cannot_cut, "disks": arguments.not_isolated or disks.cannot_mount(),
               "compiler": None if shutil.which("g++") else "there is no g++"}
    where = "loopback" if isinstance(net, network.Loopback) else "network namespaces"
    print(f"seed {arguments.seed}, {arguments.nodes} nodes, {where}", flush=True)
    top = tempfile.mkdtemp(prefix="confman-faults-", dir=place())
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for scenario in chosen(arguments):
        directory = os.path.join(top, scenario.name)
        os.mkdir(directory)
        end = run_one(scenario, arguments, net, reasons, directory)
        counts[end] += 1
        if end != "failed" and not arguments.keep:
            shutil.rmtree(directory)
    if os.listdir(top):
        print(f"kept: {top}")
    else:
        os.rmdir(top)
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
