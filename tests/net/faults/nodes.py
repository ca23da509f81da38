"""The processes of a cluster: starts them, kills them, asks them how they are."""
import http.client
import json
import os
import signal
import subprocess
import time

from network import HTTP_PORT, PEER_PORT

ELECTION_MS = 500
REQUEST_TIMEOUT_MS = 1500


class Failed(Exception):
    """What the scenario shows must hold does not."""


class Cluster:
    def __init__(self, confmand, network, directory, flags=()):
        self.confmand, self.network, self.directory = confmand, network, directory
        self.nodes = tuple(range(1, network.count + 1))
        self.flags = list(flags)
        self.home = {i: os.path.join(directory, f"node{i}") for i in self.nodes}
        self.members = {i: f"{network.address(i)}:{PEER_PORT}" for i in self.nodes}
        self.environment = {}  # of the nodes, beside that of this process
        self.processes, self.log_began = {}, {}

    def majority(self):
        return len(self.nodes) // 2 + 1

    def command(self, node):
        members = ",".join(f"{i}={address}" for i, address in self.members.items())
        return [*self.network.prefix(node), "setpriv", "--pdeathsig", "KILL",
                "env", *(f"{k}={v}" for k, v in self.environment.items()),
                self.confmand, "--id", str(node), "--members", members,
                "--listen", f"{self.network.address(node)}:{PEER_PORT}",
                "--http", f"{self.network.address(node)}:{HTTP_PORT}",
                "--directory", os.path.join(self.home[node], "data"), "--cluster", "faults",
                "--election-ms", str(ELECTION_MS), "--request-timeout-ms", str(REQUEST_TIMEOUT_MS),
                *self.flags]

    def start(self, *nodes):
        for node in nodes:
            os.makedirs(self.home[node], exist_ok=True)
            with open(self.log_path(node), "ab") as log:
                self.log_began[node] = log.tell()
                self.processes[node] = subprocess.Popen(self.command(node), stdin=subprocess.DEVNULL,
                                                        stdout=log, stderr=log)

    def running(self, node):
        return self.processes[node].poll() is None

    def require_running(self, *nodes):
        for node in nodes or self.nodes:
            if not self.running(node):
                raise Failed(f"node {node} ended by itself with {self.processes[node].returncode}: "
                             + self.log_of(node))

    def log_path(self, node):
        return os.path.join(self.directory, f"node{node}.log")

    def log_of(self, node):
        """The end of what it has said since its last start."""
        with open(self.log_path(node), encoding="utf-8", errors="replace") as log:
            log.seek(self.log_began[node])
            return log.read()[-1200:]

    def signal(self, number, *nodes):
        for node in nodes:
            self.processes[node].send_signal(number)

    def kill(self, *nodes):
        """SIGKILL to processes that must still run; afterwards they are gone."""
        self.require_running(*nodes)
        self.signal(signal.SIGKILL, *nodes)
        for node in nodes:
            self.processes[node].wait()

    def wait_end(self, node, seconds):
        """The exit status of a process that must end by itself."""
        try:
            return self.processes[node].wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"node {node} still runs after {seconds} s: {self.log_of(node)}") from None

    def stop(self):
        """Asks all to end, as an operator does."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for node, process in self.processes.items():
            if (status := self.wait_end(node, 30)) != 0:
                raise Failed(f"node {node} ended with {status}: {self.log_of(node)}")

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def ask(self, node, method, target, body=None, timeout=3.0):
        """(status, JSON) of one request; raises OSError."""
        connection = http.client.HTTPConnection(self.network.address(node), HTTP_PORT, timeout=timeout)
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def status(self, node):
        try:
            code, said = self.ask(node, "GET", "/v1/status", timeout=1.0)
        except (OSError, ValueError):
            return None
        return said if code == 200 else None

    def leader(self, nodes=None, seconds=30):
        """Who leads in the highest term that any of these nodes knows."""
        deadline = time.monotonic() + seconds
        while True:
            seen = [s for s in map(self.status, nodes or self.nodes) if s]
            leading = [s for s in seen if s["role"] == "leader"]
            if leading:
                return max(leading, key=lambda s: s["term"])["id"]
            if time.monotonic() > deadline:
                raise Failed(f"no leader within {seconds} s; of {len(self.nodes)} nodes {len(seen)} answer\n"
                             + "\n".join(map(self.log_of, self.nodes)))
            time.sleep(0.03)
