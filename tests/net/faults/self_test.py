#!/usr/bin/env python3
"""The checks of the harness accept what is right and refuse what is wrong. Started by ../faults_test.sh."""
import json
import os
import sys
import tempfile
import unittest

from clients import Load
from fake_nodes import FakeCluster
from judge import Judge, read_all
from network import Loopback
from nodes import Failed

CONFMAN_CHECK = os.environ["CONFMAN_CHECK"]


class Harness(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="confman-faults-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.cluster = FakeCluster(Loopback(3, "these are no processes"))
        self.addCleanup(self.cluster.close)
        self.judge = Judge(CONFMAN_CHECK, self.directory)

    def load(self, writes=150, **how):
        load = Load(self.cluster, self.directory, seed=1, **how)
        self.addCleanup(load.end)
        load.start()
        self.cluster.wait_writes(writes)
        return load

    def refused(self, words, call, *arguments):
        with self.assertRaisesRegex(Failed, words):
            call(*arguments)

    def test_what_is_right_is_good(self):
        figures = self.judge.check(self.cluster, self.load(monotonic=True), "--monotonic")
        self.assertIn("local read answered", figures)
        self.assertIn("witness", figures)

    def test_a_watch_that_goes_on_further_ahead_fails_the_load(self):
        load = self.load(writes=10)
        self.cluster.map.watch_skips = True
        words = "node . was asked for changes after [0-9]+, and begins after"
        self.refused(words, load.wait_progress, 1000)
        self.refused(words, self.judge.check, self.cluster, load)

    def test_a_watch_must_come_to_the_end(self):
        load = self.load()
        self.cluster.map.watch_ends = self.cluster.map.last
        self.refused("was not watched within 1 s", load.stop, 1)

    def test_a_watch_without_one_of_the_events_is_refused(self):
        load = self.load()
        files = load.stop()
        lines = open(load.watcher.recorder.path, encoding="ascii").read().splitlines()
        watch = next(line for line in map(json.loads, lines) if len(line["out"]["events"]) > 2)
        del watch["out"]["events"][1]
        with open(load.watcher.recorder.path, "a", encoding="ascii") as file:
            file.write(json.dumps(watch) + "\n")
        final = os.path.join(self.directory, "final.jsonl")
        read_all(self.cluster, final)
        self.judge.must_refuse(files, final, "watch_gap")

    def test_clients_that_go_back_are_refused(self):
        load = self.load(writes=60, monotonic=True)
        self.cluster.map.local_goes_back = True
        self.cluster.wait_writes(200)
        self.refused("  monotonic: client [0-9]+ went back",
                     self.judge.check, self.cluster, load, "--monotonic")

    def test_without_local_reads_nothing_is_shown_of_them(self):
        load = self.load(monotonic=True)
        for recorder in (c.recorder for c in load.clients):
            recorder.add = lambda *what, add=recorder.add, **more: (
                None if what[2].get("mode") == "local" else add(*what, **more))
            recorder.counts.pop("local read answered", None)
        self.cluster.wait_writes(len(self.cluster.map.changes) + 50)
        for client in load.clients:
            client.recorder.counts.pop("local read answered", None)
        self.refused("none local read answered", self.judge.check, self.cluster, load, "--monotonic")

    def test_only_the_rule_itself_is_a_refusal(self):
        files, final, _ = self.judge.gather(self.cluster, self.load())
        self.refused("ends with 0", self.judge.must_refuse, files, final, "lost_write")
        missing = [*files, os.path.join(self.directory, "missing")]
        self.refused("ends with 2", self.judge.must_refuse, missing, final, "lost_write")
        self.judge.program = "/bin/false"
        self.refused("ends with 1", self.judge.must_refuse, files, final, "lost_write")
        self.judge.program = os.path.join(self.directory, "no confman_check")
        with self.assertRaises(OSError):
            self.judge.must_refuse(files, final, "lost_write")

    def test_what_was_wiped_is_lost(self):
        files, final, _ = self.judge.gather(self.cluster, self.load())
        with self.cluster.map.lock:
            self.cluster.map.changes.clear()
            self.cluster.map.last = 1
        read_all(self.cluster, final, [2, 3])
        self.assertIn("lost_write", self.judge.must_refuse(files, final, "lost_write"))
        self.refused("wrong by stale_read", self.judge.must_refuse, files, final, "stale_read")


if __name__ == "__main__":
    sys.exit(unittest.main(warnings="ignore"))  # of connections that nobody closes
