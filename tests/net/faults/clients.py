"""Clients that put, compare, erase, read, list and watch keys through all nodes, and write down what they
were answered: docs/format/history.md."""
import collections
import http.client
import json
import os
import random
import threading
import time
from urllib.parse import quote

from network import HTTP_PORT
from nodes import Failed

KEYS = 6        # of one period
PERIOD = 4.0    # seconds; then other keys, so that no key has a long history
PATIENCE = 4.0  # seconds for an answer, more than a node takes
IDLE = 1.0      # seconds after which a connection isn't used again: the server closes it after 2
PREFIX = "/e"


class NotSent(Exception):
    """The node could not be reached: the request never left."""


class Cut(Exception):
    """No answer: whether the request was executed is not known."""


class Wire:
    """Connections to all nodes, kept open."""

    def __init__(self, addresses):
        self.addresses = addresses
        self.open = {}  # node -> connection, when it was last used

    def request(self, node, method, target, body=None, headers=()):
        """(status, headers, body)"""
        connection = self.connect(node)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            answer = response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Cut from error
        self.open[node] = connection, time.monotonic()
        return answer

    def connect(self, node):
        connection, used = self.open.pop(node, (None, 0))
        if connection and time.monotonic() - used < IDLE:
            return connection
        if connection:
            connection.close()
        connection = http.client.HTTPConnection(self.addresses[node], HTTP_PORT, timeout=PATIENCE)
        try:
            connection.connect()
        except OSError as error:
            raise NotSent from error
        return connection


def get_answer(status, headers, body):
    if status == 404:
        return {"revision": 0, "value": None, "version": headers["X-Confman-Version"]}
    return {"revision": int(headers["ETag"].strip('"')), "value": body.decode(),
            "version": headers["X-Confman-Version"]}


def list_answer(headers, body):
    page = json.loads(body)
    if page["more"]:
        raise Failed("a list does not fit into one page")
    entries = [[e["key"], e["revision"], e["value"]] for e in page["entries"]]
    return {"entries": entries, "version": headers["X-Confman-Version"]}


def write_answer(status, headers, body):
    said = json.loads(body)
    if status == 412:
        return {"failed": True, "current_revision": said["current_revision"],
                "version": headers["X-Confman-Version"]}
    return {name: said[name] for name in ("revision", "previous_revision", "version")}


class Recorder:
    """One client's part of the history: a file of its own."""

    def __init__(self, directory, client):
        self.client = client
        self.path = os.path.join(directory, f"client{client}.jsonl")
        self.file = open(self.path, "w", encoding="ascii")
        self.counts = collections.Counter()

    def add(self, op, key, asked, out, ok, call, end, **more):
        line = {"client": self.client, "op": op, "key": key, "in": asked, "out": out, "ok": ok,
                "call_ns": call, "return_ns": None if ok is None else end, **more}
        self.file.write(json.dumps(line, separators=(",", ":")) + "\n")
        kind = op if op == "watch" else "read" if op in ("get", "list") else "write"
        self.counts[kind + {True: " answered", False: " refused", None: " unknown"}[ok]] += 1
        if ok and asked.get("mode") == "local":
            self.counts["local read answered"] += 1

    def response(self, connection, op, key, asked, call):
        """Reads the answer to a read that was sent on a socket. Returns whether it is one."""
        try:
            response = http.client.HTTPResponse(connection)
            response.begin()
            status, headers, body = response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException):
            status = None
        if status not in (200, 404):
            self.add(op, key, asked, None, None, call, None)
            return False
        self.add(op, key, asked, get_answer(status, headers, body), True, call, time.monotonic_ns())
        return True

    def close(self):
        self.file.close()


class Client:
    """Asks any node for one thing after another."""

    modes = ("linearizable", "linearizable", "linearizable", "at_least", "local")

    def __init__(self, number, addresses, directory, load):
        self.recorder = Recorder(directory, number)
        self.wire = Wire(addresses)
        self.nodes = list(addresses)
        self.load, self.stopping = load, load.stopping
        self.dice = random.Random(f"{load.seed} {number}")
        self.number, self.count = number, 0
        self.seen = {}  # key -> newest revision known
        self.newest = (0, 0)

    def ask(self, op, node, key, asked, method, target, body=None, headers=(), **more):
        """One request, with its line in the history. Returns (ok, out)."""
        call = time.monotonic_ns()
        status = None
        try:
            status, answered, said = self.wire.request(node, method, target, body, headers)
        except NotSent:
            return False, None  # no line: nothing happened
        except Cut:
            ok, out = None, None
        else:
            ok, out = self.judge(op, status, answered, said)
        self.recorder.add(op, key, asked, out, ok, call, time.monotonic_ns(), **more)
        if out:
            self.newest = max(self.newest, tuple(map(int, out["version"].split(":"))))
            self.seen[key] = out.get("revision", out.get("current_revision", 0))
        return ok, out

    def judge(self, op, status, headers, body):
        """What a status means: examples/cluster/README.md, Errors."""
        if status == 503:
            return False, None
        if status in (500, 504, 410):
            return None, None
        if op == "get" and status in (200, 404):
            return True, get_answer(status, headers, body)
        if op == "list" and status == 200:
            return True, list_answer(headers, body)
        if status in (200, 201) or status == 412 and op == "cas":
            return True, write_answer(status, headers, body)
        raise Failed(f"client {self.number}: {op} was answered with {status}: {body[:300]}")

    def key(self):
        return self.load.some_key(self.dice)

    def value(self):
        self.count += 1
        return f"{self.number}.{self.count}" + "." * self.dice.choice((0, 0, 0, 100, 2000))

    def put(self, node):
        key, value = self.key(), self.value()
        self.ask("put", node, key, {"value": value}, "PUT", "/v1/kv" + key, value)

    def compare(self, node):
        key, value = self.key(), self.value()
        expect = self.seen.get(key, 0)
        condition = ("If-Match", f'"{expect}"') if expect else ("If-None-Match", "*")
        asked = {"value": value, "expect": expect}
        self.ask("cas", node, key, asked, "PUT", "/v1/kv" + key, value, [condition])

    def erase(self, node):
        key = self.key()
        _, out = self.ask("erase", node, key, {}, "DELETE", "/v1/kv" + key)
        if out:
            self.seen[key] = 0

    def freshness(self):
        mode = self.dice.choice(self.modes)
        if mode == "at_least":
            term, index = self.newest
            return {"mode": mode, "at_least": index}, f"at_least={term}:{index}"
        return {"mode": mode}, f"consistency={mode}"

    def get(self, node):
        key = self.key()
        asked, query = self.freshness()
        self.ask("get", node, key, asked, "GET", f"/v1/kv{key}?{query}")

    def list(self, node):
        prefix = self.key().rpartition("/")[0] + "/"
        asked, query = self.freshness()
        target = f"/v1/kv?prefix={quote(prefix)}&limit=100&{query}"
        self.ask("list", node, prefix, asked, "GET", target)

    def step(self):
        node = self.dice.choice(self.nodes)
        what = (self.put, self.compare, self.erase, self.get, self.list)
        self.dice.choices(what, (30, 20, 6, 40, 4))[0](node)

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
                self.stopping.wait(self.dice.uniform(0, 2 * self.load.pause))
        except Exception as error:  # whatever it is, the scenario must hear of it
            self.load.failed(f"client {self.number}: {error!r}")


class MonotonicClient(Client):
    """Never asks for less than what it has seen: no answer may be older than one before."""

    modes = ("linearizable", "at_least")


class Reader(Client):
    """Stays with one node and only reads: what that has may be old, and never goes back in one process."""

    modes = ("local", "local", "local", "at_least", "linearizable")

    def step(self):
        home = self.nodes[self.number % len(self.nodes)]
        self.dice.choices((self.get, self.list), (40, 4))[0](home)


class SessionClient(Client):
    """Writes in a session, and writes again, through any node, until it is answered."""

    session, sequence = None, 0

    def step(self):
        node = self.dice.choice(self.nodes)
        if self.session is None:
            return self.begin(node)
        self.sequence += 1
        key, value = self.key(), self.value()
        expect = self.seen.get(key, 0) if self.dice.random() < 0.5 else None
        headers = [("Idempotency-Key", f"{self.session}-{self.sequence}-{self.sequence}")]
        asked = {"value": value}
        if expect is not None:
            asked["expect"] = expect
            headers.append(("If-Match", f'"{expect}"') if expect else ("If-None-Match", "*"))
        op = "put" if expect is None else "cas"
        while not self.load.stopping.is_set():
            ok, _ = self.ask(op, node, key, asked, "PUT", "/v1/kv" + key, value, headers,
                             session=self.session, sequence=self.sequence)
            if ok:
                return None
            node = self.dice.choice(self.nodes)
            self.load.stopping.wait(0.02)
        return None

    def begin(self, node):
        try:
            status, _, body = self.wire.request(node, "POST", "/v1/sessions?ttl_ms=3600000")
        except (NotSent, Cut):
            return
        if status == 201:
            self.session, self.sequence = json.loads(body)["session"], 0


class Watcher(Client):
    """Watches everything through one node after another, and writes down what each subscription delivered."""

    connection = None
    after = 0         # up to where all was delivered; None: wherever the node is now
    newest_event = 0  # its revision

    def __init__(self, number, addresses, directory, load):
        super().__init__(number, addresses, directory, load)
        self.stopping = load.watch_stopping

    def step(self):
        node = self.dice.choice(self.nodes)
        try:
            self.connection = self.wire.connect(node)
        except NotSent:
            self.stopping.wait(0.05)
            return
        call, events, compacted = time.monotonic_ns(), [], False
        try:
            after = "" if self.after is None else f"&after={self.after}"
            self.connection.request("GET", f"/v1/watch?prefix={PREFIX}{after}")
            response = self.connection.getresponse()
            if response.status == 200:
                # ": changes after revision N"
                self.begin_after(node, int(response.readline().split()[-1]))
                compacted = self.follow(response, events)
        except (OSError, ValueError, IndexError, http.client.HTTPException, AttributeError):
            pass  # cut off: by the fault, or by stop(), which may close the connection under our hands
        self.connection.close()
        if events:
            out = {"events": events, "until": events[-1][2], "compacted": False}
            self.recorder.add("watch", PREFIX, {"after": self.after}, out, True, call, time.monotonic_ns())
            self.recorder.counts["events watched"] += len(events)
            self.after = events[-1][2]
        if compacted:
            self.recorder.counts["watch compacted"] += 1
            self.after = None

    def begin_after(self, node, said):
        """Where a subscription begins is asked for, but for the first one after `compacted`: a node that went
        on further ahead would leave a gap that its own history doesn't show."""
        if self.after is not None and said != self.after:
            raise Failed(f"node {node} was asked for changes after {self.after}, and begins after {said}")
        self.after = said

    def follow(self, response, events):
        """Reads events until the stream ends or is long enough. Returns whether it was compacted away."""
        fields = {}
        for line in response:
            text = line.decode().rstrip("\n")
            if text.startswith(":"):
                continue
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
                continue
            if fields.get("event") == "error":
                return json.loads(fields["data"])["code"] == "compacted"
            if fields:
                said = json.loads(fields["data"])
                events.append([fields["event"], said["key"], said["revision"], said.get("value")])
                self.newest_event = said["revision"]
            fields = {}
            if len(events) >= 2000:
                break
        return False

    def stop(self):
        connection = self.connection
        if connection and connection.sock:
            try:
                connection.sock.shutdown(2)
            except OSError:
                pass


class Load:
    """All clients of one scenario."""

    def __init__(self, cluster, directory, clients=8, pause=0.004, seed=0, monotonic=False):
        """`monotonic`: no client may be answered from an older state than before, and each node has a client
        that stays with it; for confman_check --monotonic, as long as no process ends."""
        self.seed, self.pause = seed, pause
        self.began = time.monotonic()
        self.stopping, self.watch_stopping = threading.Event(), threading.Event()
        self.problems = []
        self.required = ["write answered", "read answered", "events watched"]
        addresses = {i: cluster.network.address(i) for i in cluster.nodes}
        kinds = [Client] * clients + [SessionClient]
        if monotonic:
            kinds = [MonotonicClient] * clients + [SessionClient] + [Reader] * len(cluster.nodes)
            self.required.append("local read answered")
        self.clients = [kind(n + 1, addresses, directory, self) for n, kind in enumerate([*kinds, Watcher])]
        self.watcher = self.clients[-1]
        self.threads = [threading.Thread(target=c.run, daemon=True) for c in self.clients]
        self.cluster = cluster
        # For what the scenario asks by itself, one at a time.
        self.own = Client(0, addresses, directory, self)
        self.driver = self.own.recorder

    def some_key(self, dice):
        """One that is in use now."""
        return f"{PREFIX}{int(self.seconds() / PERIOD)}/k{dice.randrange(KEYS)}"

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def seconds(self):
        return time.monotonic() - self.began

    def failed(self, problem):
        self.problems.append(problem)
        self.stopping.set()

    def counts(self):
        return sum((c.recorder.counts for c in self.clients), collections.Counter(self.driver.counts))

    def wait_progress(self, writes=5, seconds=30):
        """Until so many more writes are acknowledged. Returns how long that took."""
        began = time.monotonic()
        before = self.counts()["write answered"]
        while self.counts()["write answered"] < before + writes:
            if self.problems:
                raise Failed(self.problems[0])
            if time.monotonic() > began + seconds:
                ends = "\n".join(map(self.cluster.log_of, self.cluster.nodes))
                raise Failed(f"no {writes} writes were acknowledged within {seconds} s\n{ends}")
            time.sleep(0.01)
        return time.monotonic() - began

    def end(self):
        """Ends all clients, those that were never started too."""
        self.stopping.set()
        self.watch_stopping.set()
        self.join(self.clients)

    def join(self, clients):
        for client in clients:
            thread = self.threads[self.clients.index(client)]
            deadline = time.monotonic() + 4 * PATIENCE
            while thread.is_alive():
                if isinstance(client, Watcher):
                    client.stop()
                thread.join(0.1)
                if time.monotonic() > deadline:
                    raise Failed(f"client {client.number} does not end")

    def finish_watch(self, seconds):
        """The others have ended: now the watch must come to the end of the history, which is a last write."""
        key, last, tried = PREFIX + "/last", None, 0.0
        deadline = time.monotonic() + seconds
        while (last is None or self.watcher.newest_event < last) and not self.problems:
            now = time.monotonic()
            if now > deadline:
                raise Failed(f"the last write, at {last}, was not watched within {seconds} s: the newest "
                             f"event is at {self.watcher.newest_event}")
            # Again now and then: a watch that was compacted away in between goes on behind it.
            if last is None or now > tried + 3 * PATIENCE:
                tried, value = now, self.own.value()
                _, out = self.own.ask("put", self.own.dice.choice(self.own.nodes), key, {"value": value},
                                      "PUT", "/v1/kv" + key, value)
                last = last or (out and out["revision"])
            time.sleep(0.02)

    def stop(self, seconds=60):
        """Ends all clients, the watcher when it has seen all. Returns the files of the history."""
        self.stopping.set()
        self.join(c for c in self.clients if c is not self.watcher)
        self.finish_watch(seconds)
        self.end()
        recorders = [self.driver, *(c.recorder for c in self.clients)]
        for recorder in recorders:
            recorder.close()
        if self.problems:
            raise Failed("; ".join(self.problems[:3]))
        return [r.path for r in recorders]
