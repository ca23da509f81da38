"""Where the nodes are: each in a network namespace of its own behind a bridge, or all on loopback."""
import os
import subprocess
import time

PEER_PORT = 7400
HTTP_PORT = 8400


def run(*command):
    """A command that must succeed; its output stands in the exception if it doesn't."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
    return done.stdout


class Loopback:
    """127.x.y.N: no other run of this kind has the same x and y at the same time. `why` there are no
    namespaces."""

    def __init__(self, count, why):
        self.cannot_cut = why
        number = os.getpid()
        self.base = f"127.{64 + number // 250 % 128}.{1 + number % 250}"
        self.hub = self.base + ".254"
        self.count = count

    def address(self, node):
        return f"{self.base}.{node}"

    def prefix(self, _node):
        """What a command line of this node begins with."""
        return []

    def heal(self):
        """Nothing is ever cut here."""


class Namespaces:
    """Runs in a network namespace of its own, the hub: a bridge, and behind each port a node's namespace.
    Frames between nodes cross the bridge, where nftables drops them; those of clients, who live in the hub,
    are never dropped. Everything ends with the processes that hold the namespaces."""

    def __init__(self, count):
        self.count = count
        self.hub = "10.77.0.254"
        self.holders = {}
        self.is_cut = False
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "hub", "type", "bridge")
        run("ip", "address", "add", self.hub + "/24", "dev", "hub")
        run("ip", "link", "set", "hub", "up")
        for node in range(1, count + 1):
            self.add(node)
        self.cannot_cut = cannot_cut()

    def add(self, node):
        holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"],
                                  stdin=subprocess.DEVNULL)
        self.holders[node] = holder
        ours = os.readlink("/proc/self/ns/net")
        deadline = time.monotonic() + 10
        while os.readlink(f"/proc/{holder.pid}/ns/net") == ours:
            if time.monotonic() > deadline:
                raise OSError("unshare --net did not make a namespace")
            time.sleep(0.005)
        port = f"node{node}"
        run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        run("ip", "link", "set", port, "master", "hub", "up")
        inside = self.prefix(node)
        run(*inside, "ip", "address", "add", self.address(node) + "/24", "dev", "eth0")
        run(*inside, "ip", "link", "set", "lo", "up")
        run(*inside, "ip", "link", "set", "eth0", "up")

    def address(self, node):
        return f"10.77.0.{node}"

    def prefix(self, node):
        return ["nsenter", "--target", str(self.holders[node].pid), "--net", "--"]

    def cut(self, pairs):
        """From now on what these nodes send is dropped: pairs (from, to). Replaces what was cut before."""
        rules = "\n".join(f"    ip saddr {self.address(a)} ip daddr {self.address(b)} drop"
                          for a, b in sorted(pairs))
        text = ("add table bridge faults\ndelete table bridge faults\ntable bridge faults {\n  chain cut {\n"
                f"    type filter hook forward priority 0;\n{rules}\n  }}\n}}\n")
        done = subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise OSError("nft: " + done.stderr.strip())
        self.is_cut = bool(pairs)

    def heal(self):
        if self.is_cut:
            self.cut([])


def make(count, why):
    """Namespaces, if nothing speaks against it: `why`, or what goes wrong with the first one."""
    if not why:
        try:
            return Namespaces(count)
        except OSError as error:
            why = f"no network namespaces: {error}"
    return Loopback(count, why)


def cannot_cut():
    """Why frames can't be dropped here, or None."""
    text = "table bridge probe {\n  chain cut {\n    type filter hook forward priority 0;\n  }\n}\n"
    try:
        done = subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True, check=False)
    except OSError as error:
        return f"nft: {error}"
    if done.returncode != 0:
        return "nft can't make a chain for bridges: " + done.stderr.strip().partition("\n")[0]
    run("nft", "delete", "table", "bridge", "probe")
    return None
