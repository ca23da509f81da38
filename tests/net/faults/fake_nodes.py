"""Nodes of one map without faults and without consensus, in this process: what the checks of the harness are
tried on, right, and wrong on purpose."""
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from network import HTTP_PORT

STREAM = 20  # events after which a watch is cut off, so that it is begun again


class FakeMap:
    """All changes in their order; revisions go up by one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.changes = []  # (revision, key, value; None: erased)
        self.last = 1
        # What goes wrong.
        self.local_goes_back = self.watch_skips = False
        self.watch_ends = None  # nothing is delivered from that revision on

    def state(self, until):
        """key -> (revision, value)"""
        state = {}
        for revision, key, value in self.changes:
            if revision > until:
                break
            state.pop(key, None)
            if value is not None:
                state[key] = revision, value
        return state

    def write(self, key, value, condition):
        """(answer, status)"""
        with self.lock:
            before = self.state(self.last).get(key, (0, None))[0]
            self.last += 1
            if condition is not None and condition != before:
                return {"current_revision": before}, 412
            if value is not None or before:
                self.changes.append((self.last, key, value))
            return {"revision": self.last, "previous_revision": before, "version": f"1:{self.last}"}, 200

    def place(self, local):
        """Where a read is answered from."""
        if local and self.local_goes_back and self.last % 2:
            return max(1, self.last - 40)
        return self.last


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        """Says nothing."""

    def answer(self, status, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self):
        value = self.rfile.read(int(self.headers["Content-Length"])).decode()
        condition = self.headers.get("If-Match")
        condition = int(condition.strip('"')) if condition else None
        self.change(value, 0 if "If-None-Match" in self.headers else condition)

    def do_DELETE(self):
        self.change(None, None)

    def change(self, value, condition):
        said, status = self.server.map.write(urlsplit(self.path).path[len("/v1/kv"):], value, condition)
        version = said.get("version", f"1:{self.server.map.last}")
        self.answer(status, said, X_Confman_Version=version)

    def do_POST(self):
        self.answer(503, {})  # no sessions

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/v1/watch":
            return self.watch(query["prefix"], query.get("after"))
        with self.server.map.lock:
            place = self.server.map.place(query.get("consistency") == "local")
            state = self.server.map.state(place)
        version = f"1:{place}"
        if url.path == "/v1/kv":
            entries = [{"key": key, "revision": revision, "value": value}
                       for key, (revision, value) in sorted(state.items()) if key.startswith(query["prefix"])]
            return self.answer(200, {"more": False, "entries": entries}, X_Confman_Version=version)
        revision, value = state.get(url.path[len("/v1/kv"):], (0, ""))
        self.answer(200 if revision else 404, value.encode(), X_Confman_Version=version, ETag=f'"{revision}"')

    def watch(self, prefix, asked):
        about = self.server.map
        after = int(asked) if asked is not None else about.last
        if about.watch_skips and after:
            after += 5
        self.close_connection = True
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk(f": changes after revision {after}\n\n")
        sent = 0
        while sent < STREAM:
            with about.lock:
                new = [c for c in about.changes if c[0] > after and c[1].startswith(prefix)]
            if about.watch_ends is not None:
                new = [c for c in new if c[0] < about.watch_ends]
            for revision, key, value in new[:STREAM]:
                data = {"key": key, "revision": revision} | ({} if value is None else {"value": value})
                kind = "erase" if value is None else "put"
                self.chunk(f"id: {revision}\nevent: {kind}\ndata: {json.dumps(data)}\n\n")
                after, sent = revision, sent + 1
            if self.server.closing.wait(0.01):
                return
        self.chunk("")

    def chunk(self, text):
        self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        """A client that went away is none of ours."""


class FakeCluster:
    """As nodes.Cluster, as far as clients and judge ask it."""

    def __init__(self, network):
        self.network, self.nodes, self.map = network, tuple(range(1, network.count + 1)), FakeMap()
        self.closing = threading.Event()
        self.servers = [Server((network.address(i), HTTP_PORT), Handler) for i in self.nodes]
        for server in self.servers:
            server.map, server.closing = self.map, self.closing
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def require_running(self, *_):
        """They do."""

    def log_of(self, node):
        return f"node {node} says nothing"

    def status(self, node):
        return {"id": node, "applied": self.map.last, "state_hash": "0", "role": "leader", "term": 1}

    def wait_writes(self, number, seconds=20):
        deadline = time.monotonic() + seconds
        while len(self.map.changes) < number:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {number} writes")
            time.sleep(0.01)

    def close(self):
        self.closing.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()
