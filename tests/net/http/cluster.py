"""Three confmand processes, requests to them, and what must hold for every answer."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time

NODES = (1, 2, 3)
GUESTS = (4, 5)  # ids of members that join later
MAX_VALUE_BYTES = (3 << 20) + 17  # more than one entry of the log, more than stands in JSON
MAX_WATCHES = 4
VERSION = re.compile(r"\d+:\d+")


class Wrong(Exception):
    """An answer is not what it must be."""


def require(condition, *what):
    if not condition:
        raise Wrong(" ".join(str(w) for w in what))


def equal(got, wanted, what):
    require(got == wanted, f"{what}: {str(got)[:300]!r} instead of {str(wanted)[:300]!r}")


def eventually(done, what, seconds=20):
    """The first true value of done(), which may fail to connect meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := done():
                return value
        except OSError:
            pass
        require(time.monotonic() < deadline, "not within", seconds, "s:", what)
        time.sleep(0.02)


class Answer:
    def __init__(self, request, target, response):
        self.request, self.target = request, target
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        self.version = self.headers["X-Confman-Version"] or ""
        require(VERSION.fullmatch(self.version), request, "has X-Confman-Version", repr(self.version))

    def json(self):
        equal(self.headers["Content-Type"], "application/json", f"{self.request}: Content-Type")
        return json.loads(self.body)

    def expect(self, status, **headers):
        """The answer has this status and these headers ('_' stands for '-'; None: it hasn't the header)."""
        require(self.status == status, f"{self.request}: {self.status}, not {status}: {self.body[:300]}")
        for name, wanted in headers.items():
            name = name.replace("_", "-")
            equal(self.headers[name], wanted, f"{self.request}: {name}")
        return self

    def expect_problem(self, status, code):
        """All that RFC 9457 defines, and `code`. Returns the problem object."""
        self.expect(status, Content_Type="application/problem+json")
        problem = json.loads(self.body)
        equal(problem["type"], "urn:confman:problem:" + code, f"{self.request}: type")
        equal(problem["status"], status, f"{self.request}: status in the body")
        equal(problem["code"], code, f"{self.request}: code")
        equal(problem.get("instance"), self.target, f"{self.request}: instance")
        for member in ("title", "detail"):
            require(isinstance(problem[member], str) and problem[member], self.request, "has no", member)
        retry = self.headers["Retry-After"]
        if status == 503:
            require(retry and retry.isdigit() and int(retry) > 0, self.request, "503 with Retry-After", retry)
        else:
            equal(retry, None, f"{self.request}: Retry-After")
        return problem


class Events:
    """A watch, read event by event."""

    def __init__(self, port, target, headers=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.connection.request("GET", target, headers=headers or {})
        self.response = self.connection.getresponse()
        if self.response.status != 200:
            self.refusal = Answer(f"GET {target}", target, self.response)
            return
        self.refusal = None
        equal(self.response.headers["Content-Type"], "text/event-stream", "the watch's Content-Type")
        equal(self.response.headers["Cache-Control"], "no-store", "the watch's Cache-Control")
        version = self.response.headers["X-Confman-Version"]
        require(VERSION.fullmatch(version or ""), "a watch with X-Confman-Version", version)
        first = self.response.readline().decode()
        require(first.startswith(": changes after revision "), "a watch begins with", repr(first))
        self.after = int(first.split()[-1])
        equal(self.response.readline(), b"\n", "the line behind the opening comment")

    def next(self):
        """(id, event, data) of the next event; comments are passed over."""
        require(not self.refusal, "the watch was refused:", self.refusal and self.refusal.body)
        fields = {}
        while True:
            line = self.response.readline().decode()
            require(line, "the watch's connection ended")
            line = line.rstrip("\n")
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                return fields.get("id"), fields["event"], json.loads(fields["data"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


class Cluster:
    def __init__(self, confmand, ports, directory):
        self.confmand, self.directory = confmand, directory
        half = len(ports) // 2
        self.peers = dict(zip(NODES + GUESTS, ports[:half]))
        self.http = dict(zip(NODES + GUESTS, ports[half:]))
        self.processes = {}

    @staticmethod
    def addresses(ports):
        return ",".join(f"{i}=127.0.0.1:{port}" for i, port in ports.items())

    def command(self, i, *flags, members=NODES, cluster="http-test", directory=None):
        """The command line of node i."""
        peers = {n: self.peers[n] for n in members}
        return ["setpriv", "--pdeathsig", "KILL", self.confmand, "--id", str(i),
                "--members", self.addresses(peers), "--http", f"127.0.0.1:{self.http[i]}",
                "--directory", os.path.join(self.directory, directory or str(i)), "--cluster", cluster,
                "--max-value-bytes", str(MAX_VALUE_BYTES), "--max-watches", str(MAX_WATCHES),
                "--request-timeout-ms", "1200", "--election-ms", "800", *flags]  # calm on busy machines

    def start(self, i, *flags, redirects=True, **where):
        command = self.command(i, *flags, **where)
        if redirects:
            command += ["--http-peers", self.addresses(self.http)]
        if i == NODES[0]:
            command += ["--backup-dir", self.backups()]
        with open(os.path.join(self.directory, f"node{i}.log"), "ab") as log:
            self.processes[i] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def backups(self):
        path = os.path.join(self.directory, "backups")
        os.makedirs(path, exist_ok=True)
        return path

    def refused(self, i, *flags, **where):
        """What confmand says that does not start."""
        ended = subprocess.run(self.command(i, *flags, **where), stdin=subprocess.DEVNULL, timeout=20,
                               capture_output=True, text=True, check=False)
        equal(ended.returncode, 2, f"the exit status of a start that is refused ({ended.stderr})")
        return ended.stderr

    def wait_ready(self, *nodes):
        for i in nodes or NODES:
            def ready(i=i):
                require(self.processes[i].poll() is None, f"node {i} ended:", self.log_of(i))
                return self.ask(i, "GET", "/readyz").status == 200
            eventually(ready, f"node {i} is ready")

    def log_of(self, i):
        with open(os.path.join(self.directory, f"node{i}.log"), encoding="utf-8", errors="replace") as log:
            return log.read()[-1500:]

    def kill(self, i):
        self.processes[i].send_signal(signal.SIGKILL)
        self.processes[i].wait()

    def stop(self, i):
        """Asks the process to end; returns its exit status."""
        self.processes[i].terminate()
        return self.processes[i].wait(15)

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def ask(self, i, method, target, body=None, **headers):
        """One request on a connection of its own ('_' in the names of headers stands for '-')."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http[i], timeout=20)
        try:
            connection.request(method, target, body, {n.replace("_", "-"): v for n, v in headers.items()})
            return Answer(f"{method} {target[:80]} of node {i}", target, connection.getresponse())
        finally:
            connection.close()

    def send(self, i, request):
        """Bytes as they are; which target they name is not known."""
        with socket.create_connection(("127.0.0.1", self.http[i]), timeout=20) as s:
            s.sendall(request)
            response = http.client.HTTPResponse(s)
            response.begin()
            return Answer(f"{request[:60]!r}", None, response)

    def watch(self, i, target, **headers):
        return Events(self.http[i], target, {n.replace("_", "-"): v for n, v in headers.items()})

    def wait_without_watches(self):
        """Closed ones count until the server notices."""
        for i in NODES:
            eventually(lambda i=i: self.ask(i, "GET", "/v1/status").json()["watches"] == 0, "no watches")

    def leader(self):
        """As every running node sees it."""
        def agreed():
            running = [i for i in NODES if self.processes[i].poll() is None]
            seen = {self.ask(i, "GET", "/v1/status").json()["leader"] for i in running}
            return len(seen) == 1 and seen.pop()
        return eventually(agreed, "all nodes know the same leader")

    def follower(self):
        lead = self.leader()
        return next(i for i in NODES if i != lead)
