#!/usr/bin/env python3
"""Asks three confmand processes for everything that examples/cluster/README.md promises, and checks status,
headers and body of each answer.

  driver.py DIRECTORY_OF_THE_PROGRAMS
"""
import base64
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import cluster_cases
from cluster import MAX_VALUE_BYTES, MAX_WATCHES, NODES, Cluster, Wrong, equal, eventually, require

CASES = []


def case(function):
    CASES.append(function)
    return function


@case
def put_creates_then_replaces(c):
    first = c.ask(1, "PUT", "/v1/kv/put/a", b"one").expect(201)
    said = first.json()
    equal(first.headers["ETag"], f'"{said["revision"]}"', "ETag")
    equal((said["key"], said["version"], said["previous_revision"], said["existed"]),
          ("/put/a", first.version, 0, False), "a new key")
    equal(int(first.version.split(":")[1]), said["revision"], "the index of a write's version")
    second = c.ask(1, "PUT", "/v1/kv/put/a", b"two").expect(200).json()
    equal((second["previous_revision"], second["existed"]), (said["revision"], True), "a second put")
    require(second["revision"] > said["revision"], "revisions go up")


@case
def get_gives_the_bytes_and_where_they_come_from(c):
    value = bytes(range(256)) * 3
    put = c.ask(1, "PUT", "/v1/kv/get/a%20b/%C3%A9", value, Content_Type="application/x-www-form-urlencoded")
    at = put.expect(201).version
    tag = put.headers["ETag"]
    for i in NODES:
        got = c.ask(i, "GET", f"/v1/kv/get/a%20b/%C3%A9?at_least={at}")
        got.expect(200, ETag=tag, Content_Type="application/octet-stream", Confman_Key_Version="1",
                   Confman_Create_Revision=tag.strip('"'), Confman_Written_At=at, Confman_Author="1")
        equal(got.body, value, f"the value from node {i}")
    head = c.ask(2, "HEAD", "/v1/kv/get/a%20b/%C3%A9").expect(200, ETag=tag)
    equal(head.body, b"", "the body of HEAD")
    equal(c.ask(2, "GET", "/v1/kv/get/a%20b/%C3%A9", If_None_Match=tag).expect(304).body, b"", "304")
    c.ask(2, "GET", "/v1/kv/get/a%20b/%C3%A9", If_None_Match='"1"').expect(200)
    c.ask(1, "PUT", "/v1/kv/get/empty", b"").expect(201)
    empty = c.ask(1, "GET", "/v1/kv/get/empty?consistency=linearizable").expect(200)
    equal(empty.body, b"", "an empty value")


@case
def delete_says_whether_there_was_a_key(c):
    put = c.ask(2, "PUT", "/v1/kv/delete/a", b"x").expect(201).json()
    gone = c.ask(3, "DELETE", "/v1/kv/delete/a").expect(200)
    equal((gone.json()["existed"], gone.json()["previous_revision"], gone.json()["version"]),
          (True, put["revision"], gone.version), "the first DELETE")
    equal(c.ask(1, "DELETE", "/v1/kv/delete/a").expect(200).json()["existed"], False, "a second DELETE")
    for i in NODES:
        c.ask(i, "GET", f"/v1/kv/delete/a?at_least={gone.version}").expect_problem(404, "key_not_found")


@case
def list_is_ordered_and_paged(c):
    names = ["/list/a", "/list/a/b", "/list/b", "/list/c"]
    for name in reversed(names):
        c.ask(1, "PUT", "/v1/kv" + name, name.encode()).expect(201)
    c.ask(1, "PUT", "/v1/kv/list/%FF", b"\xfe").expect(201)
    c.ask(1, "PUT", "/v1/kv/lisu", b"").expect(201)
    found = c.ask(2, "GET", "/v1/kv?prefix=/list/&consistency=linearizable").expect(200)
    page = found.json()
    equal((page["count"], page["more"], page["version"]), (5, False, found.version), "the whole list")
    equal([e["key"] for e in page["entries"][:4]], names, "keys in order")
    equal([e["value"] for e in page["entries"][:4]], names, "their values")
    odd = page["entries"][4]
    equal((base64.b64decode(odd["key_base64"]), base64.b64decode(odd["value_base64"])),
          (b"/list/\xff", b"\xfe"), "a key and a value that are not UTF-8")
    for entry in page["entries"]:
        equal((entry["key_version"], entry["create_revision"]), (1, entry["revision"]), "a fresh entry")
        equal(entry["version"].split(":")[1], str(entry["revision"]), "an entry's version")
    seen, after = [], ""
    while True:
        page = c.ask(1, "GET", f"/v1/kv?prefix=/list/&limit=2&keys_only=1&start_after={after}"
                               f"&at_least={found.version}").expect(200).json()
        require(all("value" not in e for e in page["entries"]), "keys_only with values")
        seen += [e.get("key", "?") for e in page["entries"]]
        if not page["more"]:
            break
        after = page["next_start_after"]
    equal(seen, names + ["?"], "all pages")
    equal(c.ask(1, "GET", "/v1/kv?prefix=/none/").expect(200).json()["entries"], [], "an empty list")
    for bad in ("limit=0", "limit=10001", "limit=x", "keys_only=2", "prefx=/"):
        c.ask(1, "GET", "/v1/kv?" + bad).expect_problem(400, "bad_request")


@case
def reads_are_as_fresh_as_asked(c):
    for n in range(12):
        writer, reader = NODES[n % 3], NODES[(n + 1) % 3]
        value = f"value {n}".encode()
        at = c.ask(writer, "PUT", "/v1/kv/fresh", value).version
        if n % 2:
            got = c.ask(reader, "GET", "/v1/kv/fresh?consistency=linearizable")
        else:
            got = c.ask(reader, "GET", f"/v1/kv/fresh?consistency=local&at_least={at}")
        equal(got.expect(200).body, value, f"read {n}")
        require(tuple(map(int, got.version.split(":"))) >= tuple(map(int, at.split(":"))), "an older version")
        listed = c.ask(NODES[(n + 2) % 3], "GET", f"/v1/kv?prefix=/fresh&at_least={at}").expect(200).json()
        equal(listed["entries"][0]["value"], value.decode(), f"list {n}")
    c.ask(1, "GET", "/v1/kv/fresh?consistency=local").expect(200)
    c.ask(1, "GET", "/v1/kv/fresh?at_least=0:0").expect(200)


@case
def bad_freshness_is_refused(c):
    c.ask(1, "GET", "/v1/kv/fresh?consistency=eventual").expect_problem(400, "bad_request")
    for token in ("", "1", "1:", ":1", "a:b", "1:2x", "-1:2", "1:-2", "1:2:3", "1:99999999999999999999999"):
        c.ask(1, "GET", f"/v1/kv/fresh?at_least={token}").expect_problem(400, "bad_request")
    began = time.monotonic()
    c.ask(1, "GET", "/v1/kv/fresh?at_least=1:999999999").expect_problem(504, "timed_out")
    require(time.monotonic() - began > 1, "a version that never comes is waited for")


@case
def writes_with_if_match_and_if_none_match(c):
    key = "/v1/kv/compare/a"
    missing = c.ask(2, "PUT", key, b"x", If_Match='"7"').expect(412, ETag=None)
    equal(missing.expect_problem(412, "compare_failed")["current_revision"], 0, "of a missing key")
    tag = c.ask(2, "PUT", key, b"1", If_None_Match="*").expect(201).headers["ETag"]
    for target, method, headers in ((key, "PUT", {"If_None_Match": "*"}), (key, "PUT", {"If_Match": '"1"'}),
                                    (key, "DELETE", {"If_Match": '"1"'})):
        refused = c.ask(3, method, target, b"no", **headers).expect(412, ETag=tag)
        current = refused.expect_problem(412, "compare_failed")["current_revision"]
        equal(f'"{current}"', tag, "current_revision")
    tag = c.ask(1, "PUT", key, b"2", If_Match=tag).expect(200).headers["ETag"]
    equal(c.ask(1, "GET", key + "?consistency=linearizable").expect(200, ETag=tag).body, b"2", "the value")
    c.ask(3, "DELETE", key, If_Match=tag).expect(200)
    c.ask(3, "GET", key + "?consistency=linearizable").expect_problem(404, "key_not_found")


@case
def if_match_star_means_that_the_key_exists(c):
    key = "/v1/kv/star/a"
    for method in ("PUT", "DELETE"):
        refused = c.ask(2, method, key, b"x", If_Match="*").expect(412, ETag=None)
        equal(refused.expect_problem(412, "compare_failed")["current_revision"], 0, "of a missing key")
    c.ask(1, "GET", key + "?consistency=linearizable").expect_problem(404, "key_not_found")
    first = c.ask(1, "PUT", key, b"1").expect(201).json()
    for i in NODES:
        c.ask(i, "PUT", key, f"from {i}".encode(), If_Match="*").expect(200)
    # Each write of the others changes the revision in between: at most 12, which is within what is tried.
    def write(thread):
        for n in range(4):
            c.ask(NODES[thread % 3], "PUT", key, f"{thread}.{n}".encode(), If_Match="*").expect(200)
    in_parallel([lambda t=t: write(t) for t in range(4)])
    got = c.ask(2, "GET", key + "?consistency=linearizable").expect(200, Confman_Key_Version=str(1 + 3 + 16))
    equal(got.headers["Confman-Create-Revision"], str(first["revision"]), "it was never created anew")
    c.ask(3, "DELETE", key, If_Match="*").expect(200)
    c.ask(3, "PUT", key, b"x", If_Match="*").expect_problem(412, "compare_failed")


@case
def conditions_that_are_not_understood_are_refused(c):
    key = "/v1/kv/conditions"
    for headers in ({"If_Match": '"1", "2"'}, {"If_Match": 'W/"1"'}, {"If_Match": "1"}, {"If_Match": '"0"'},
                    {"If_Match": '"1x"'}, {"If_None_Match": '"1"'},
                    {"If_Match": '"1"', "If_None_Match": "*"}):
        said = c.ask(1, "PUT", key, b"x", **headers).expect_problem(400, "bad_request")
        require("If-" in said["detail"], "a detail without the header's name:", said["detail"])
    c.ask(1, "DELETE", key, If_None_Match="*").expect_problem(400, "bad_request")
    c.ask(1, "GET", key + "?consistency=linearizable").expect_problem(404, "key_not_found")


@case
def followers_forward_or_redirect(c):
    lead = c.leader()
    for i in NODES:
        c.ask(i, "PUT", f"/v1/kv/forward/{i}", b"x").expect(201)
        c.ask(lead, "GET", f"/v1/kv/forward/{i}").expect(200, Confman_Author=str(i))
        target = f"/v1/kv/forward/to%20{i}?redirect=1"
        answer = c.ask(i, "PUT", target, b"x")
        if i != lead:
            answer.expect(307, Location=f"http://127.0.0.1:{c.http[lead]}{target}")
            c.ask(lead, "GET", target.partition("?")[0]).expect_problem(404, "key_not_found")
            answer = c.ask(lead, "PUT", target, b"x")
        answer.expect(201)
        c.ask(i, "DELETE", target).expect(200 if i == lead else 307)
        c.ask(i, "PUT", f"/v1/kv/forward/{i}?redirect=0", b"x").expect(200)
        c.ask(i, "PUT", f"/v1/kv/forward/{i}?redirect=yes", b"x").expect_problem(400, "bad_request")


@case
def watch_follows_a_prefix(c):
    lead, follower = c.leader(), c.follower()
    c.ask(lead, "PUT", "/v1/kv/watch/before", b"x").expect(201)
    at = c.ask(lead, "PUT", "/v1/kv/watch/before", b"y").expect(200).version
    c.ask(follower, "GET", f"/v1/kv/watch/before?at_least={at}").expect(200)
    with c.watch(follower, "/v1/watch?prefix=/watch/") as events:
        one = c.ask(lead, "PUT", "/v1/kv/watch/a", b"250").expect(201)
        c.ask(lead, "PUT", "/v1/kv/elsewhere", b"x").expect(201)
        two = c.ask(follower, "PUT", "/v1/kv/watch/a", b"\xff").expect(200)
        three = c.ask(lead, "DELETE", "/v1/kv/watch/a").expect(200)
        seen = [events.next() for _ in range(3)]
    revisions = [answer.json()["revision"] for answer in (one, two, three)]
    equal([s[:2] for s in seen], list(zip(map(str, revisions), ("put", "put", "erase"))), "id and event")
    data = [s[2] for s in seen]
    equal([d["revision"] for d in data], revisions, "revisions")
    equal([d["version"] for d in data], [one.version, two.version, three.version], "versions")
    equal({d["key"] for d in data}, {"/watch/a"}, "keys")
    equal((data[0]["value"], data[1]["value_base64"], data[2]["previous_revision"]),
          ("250", "/w==", revisions[1]), "values")
    c.wait_without_watches()
    for i in NODES:
        c.ask(i, "GET", f"/v1/kv?at_least={three.version}&limit=1").expect(200)
        target = "/v1/watch?prefix=/watch/"
        first = str(revisions[0])
        for events in (c.watch(i, f"{target}&after={first}"), c.watch(i, target, Last_Event_ID=first),
                       c.watch(i, target + "&after=0", Last_Event_ID=first)):
            with events:
                equal([events.next() for _ in range(2)], seen[1:], f"the changes after {first} from node {i}")


@case
def bad_watches_are_refused(c):
    for header in ("12abc", "-1", "+1", "1 2", "0x10", "99999999999999999999999"):
        with c.watch(1, "/v1/watch?prefix=/", Last_Event_ID=header) as events:
            require(events.refusal, "Last-Event-ID", repr(header), "was taken")
            events.refusal.expect_problem(400, "bad_request")
    for query in ("after=1x", "after=-1", "after=", "from=1"):
        with c.watch(1, "/v1/watch?" + query) as events:
            require(events.refusal, query, "was taken")
            events.refusal.expect_problem(400, "bad_request")
    c.wait_without_watches()
    with c.watch(1, "/v1/watch?after=999999999") as events:
        _, event, data = events.next()
        equal((event, data["code"]), ("error", "revision_in_future"), "a watch after what isn't there yet")


@case
def watches_are_bounded(c):
    c.wait_without_watches()
    held = [c.watch(1, "/v1/watch?prefix=/") for _ in range(MAX_WATCHES)]
    with c.watch(1, "/v1/watch?prefix=/") as more:
        require(more.refusal, "a watch over the limit")
        more.refusal.expect_problem(503, "too_many_watches")
    for events in held:
        events.connection.close()
    c.wait_without_watches()


@case
def status_tells_about_the_node(c):
    lead = c.leader()
    at = c.ask(1, "PUT", "/v1/kv/status", b"x").version
    hashes = set()
    for i in NODES:
        c.ask(i, "GET", f"/v1/kv/status?at_least={at}").expect(200)
        answer = c.ask(i, "GET", "/v1/status").expect(200)
        said = answer.json()
        equal((said["id"], said["leader"], said["running"], said["version"]), (i, lead, True, answer.version),
              f"the status of node {i}")
        equal(said["role"], "leader" if i == lead else "follower", "role")
        require(said["applied"] <= said["commit"] <= said["last"] and said["term"] >= 1, "indexes", said)
        wanted = {"leader": lead, "change_under_way": False, "joint": False, "members": said["members"]}
        equal(c.ask(i, "GET", "/v1/members").expect(200).json(), wanted, f"the members as node {i} sees them")
        equal(said["change_under_way"], False, "change_under_way")
        require(said["first"] <= said["last"] and said["snapshot"] <= said["applied"], "indexes", said)
        require(said["keys"] > 0 and said["bytes"] > 0, "an empty map", said)
        where = {str(n): {"address": f"127.0.0.1:{c.peers[n]}", "http": f"127.0.0.1:{c.http[n]}",
                          "kind": "voter", "priority": 1} for n in NODES}
        equal(said["members"], where, "members")
        hashes.add((said["applied"], said["state_hash"]))
    equal(len(hashes), 1, f"states at rest {hashes}")
    c.ask(1, "GET", "/v1/status?verbose=1").expect_problem(400, "bad_request")


@case
def health_and_readiness(c):
    for i in NODES:
        equal(c.ask(i, "GET", "/healthz").expect(200).json(), {"alive": True}, "healthz")
        equal(c.ask(i, "GET", "/readyz").expect(200).json(), {"ready": True, "leader": c.leader()}, "readyz")


@case
def bad_keys_are_refused(c):
    longest = "/v1/kv/" + "k" * 511
    c.ask(2, "PUT", longest, b"x").expect(201)
    for method in ("PUT", "GET", "DELETE"):
        c.ask(2, method, longest + "k").expect_problem(400, "key_too_long")
        c.ask(2, method, "/v1/kv/a%00b").expect_problem(400, "key_has_nul")
        for target in ("/v1/kv/a%zz", "/v1/kv/a%4", "/v1/kv/%"):
            c.ask(2, method, target).expect_problem(400, "bad_request")
    c.ask(2, "GET", longest + "?consistency=linearizable").expect(200)
    long_line = b"GET /v1/kv/" + b"k" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    c.send(2, long_line).expect_problem(414, "url_too_long")


@case
def values_over_the_limit_are_refused(c):
    most = b"v" * MAX_VALUE_BYTES
    c.ask(3, "PUT", "/v1/kv/large", most).expect(201)
    current = "/v1/kv/large?consistency=linearizable"
    equal(c.ask(3, "GET", current).expect(200).body, most, "the largest value")
    c.ask(3, "PUT", "/v1/kv/large", most + b"v").expect_problem(413, "value_too_large")
    c.ask(3, "PUT", "/v1/kv/large", iter([most, b"v"])).expect_problem(413, "value_too_large")  # chunked
    equal(c.ask(3, "GET", current).expect(200).body, most, "the value after refused writes")


@case
def unknown_paths_and_methods_are_refused(c):
    for target in ("/", "/v1", "/v1/kv2", "/v1/kvx/a", "/v2/kv/a", "/healthz/", "/v1/status/x"):
        c.ask(1, "GET", target).expect_problem(404, "not_found")
    for method, target in (("POST", "/v1/kv/a"), ("PATCH", "/v1/kv/a"), ("PUT", "/v1/kv"),
                           ("PUT", "/v1/watch"), ("DELETE", "/v1/status"), ("POST", "/healthz"),
                           ("PUT", "/readyz")):
        answer = c.ask(1, method, target, b"x" if method != "DELETE" else None)
        answer.expect_problem(405, "method_not_allowed")
        allowed = answer.headers["Allow"].split(", ")
        require("GET" in allowed and method not in allowed, "Allow:", allowed)
    allowed = c.ask(1, "OPTIONS", "/v1/kv/a").expect(204).headers["Allow"]
    equal(allowed, "GET, HEAD, PUT, DELETE, OPTIONS", "Allow")
    c.ask(1, "PUT", "/v1/kv/a?consistency=local", b"x").expect_problem(400, "bad_request")
    c.send(1, b"NONSENSE\r\n\r\n").expect_problem(400, "bad_request")


@case
def a_node_without_http_peers_forwards_instead_of_redirecting(c):
    """Also: what SIGTERM does to a watch and a process."""
    while True:
        node = c.follower()
        at = c.ask(node, "PUT", "/v1/kv/orderly", b"x").version
        c.ask(node, "GET", f"/v1/kv/orderly?at_least={at}").expect(200)  # the watch begins behind it
        with c.watch(node, "/v1/watch?prefix=/orderly") as events:
            equal(c.stop(node), 0, "the exit status after SIGTERM")
            _, event, data = events.next()
        equal((event, data["code"]), ("error", "stopped"), "the end of a watch")
        c.start(node, redirects=False)
        c.wait_ready(node)
        c.ask(node, "GET", f"/v1/kv/orderly?at_least={at}").expect(200)
        redirected = c.ask(node, "PUT", "/v1/kv/orderly?redirect=1", b"y")
        if c.leader() != node:
            break
    redirected.expect(200, Location=None)
    problem = c.ask(node, "POST", "/v1/leader").expect(421, Location=None).expect_problem(421, "not_leader")
    equal(problem["leader"], c.leader(), "the leader in the problem")
    c.stop(node)
    c.start(node)
    c.wait_ready(node)


@case
def without_a_leader(c):
    lead = c.leader()
    survivor, other = [i for i in NODES if i != lead]
    at = c.ask(survivor, "PUT", "/v1/kv/alone", b"x").version
    c.ask(survivor, "GET", f"/v1/kv/alone?at_least={at}").expect(200)  # here too, not only at the leader
    c.kill(lead)
    c.kill(other)
    eventually(lambda: c.ask(survivor, "GET", "/v1/status").json()["leader"] == 0, "the leader is forgotten")
    key, fresh = "/v1/kv/alone", "?consistency=linearizable"
    in_parallel([
        lambda q=q: c.ask(survivor, *q[:3], **q[3]).expect_problem(503, "no_leader")
        for q in (("PUT", key, b"y", {}), ("PUT", key + "?redirect=1", b"y", {}), ("DELETE", key, None, {}),
                  ("PUT", key, b"y", {"If_Match": "*"}), ("PUT", key, b"y", {"If_None_Match": "*"}),
                  ("GET", key + fresh, None, {}), ("GET", "/v1/kv" + fresh, None, {}))])
    c.ask(survivor, "GET", "/readyz").expect_problem(503, "not_ready")
    c.ask(survivor, "GET", "/healthz").expect(200)
    equal(c.ask(survivor, "GET", f"/v1/kv/alone?at_least={at}").expect(200).body, b"x", "a local read")
    with c.watch(survivor, "/v1/watch?prefix=/alone&after=0") as events:
        equal(events.next()[1], "put", "a watch without a leader")
    c.start(lead)
    c.start(other)
    c.wait_ready()
    for i in NODES:
        got = c.ask(i, "GET", "/v1/kv/alone?consistency=linearizable").expect(200)
        equal(got.body, b"x", "a write that was answered with 503 is not applied")
    c.ask(survivor, "PUT", "/v1/kv/alone", b"z").expect(200)


def in_parallel(functions):
    """Calls all at once; raises what one of them raised."""
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        for done in [pool.submit(f) for f in functions]:
            done.result()


def free_ports(programs):
    ports = subprocess.run([os.path.join(programs, "confman_load"), "ports", "--count", "10"], check=True,
                           capture_output=True, text=True, timeout=20).stdout.split()
    return [int(port) for port in ports]


def run(programs, directory):
    cluster = Cluster(os.path.join(programs, "confmand"), free_ports(programs), directory)
    passed, failed = 0, []
    try:
        for i in NODES:
            cluster.start(i)
        cluster.wait_ready()
        for function in CASES + cluster_cases.CASES:
            began = time.monotonic()
            try:
                function(cluster)
                passed += 1
                print(f"ok     {time.monotonic() - began:5.2f} s  {function.__name__}", flush=True)
            except (Wrong, OSError, KeyError, ValueError, TypeError, IndexError) as error:
                failed.append(function.__name__)
                line = traceback.extract_tb(error.__traceback__)
                at = [f.lineno for f in line if f.name == function.__name__]
                print(f"error: {function.__name__}, line {at[-1] if at else '?'}: {error!r}", flush=True)
        for i in NODES:
            if (status := cluster.stop(i)) != 0:
                failed.append(f"node {i} ended with {status}")
                print("error:", failed[-1])
    except (Wrong, subprocess.SubprocessError) as error:
        failed.append(str(error))
        print("error:", error)
    finally:
        cluster.close()
    return passed, failed


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    directory = tempfile.mkdtemp(prefix="confman-http-")
    passed, failed = run(sys.argv[1], directory)
    if failed:
        print(f"logs and data are kept in {directory}")
    else:
        shutil.rmtree(directory)
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or passed != len(CASES + cluster_cases.CASES) else 0


if __name__ == "__main__":
    sys.exit(main())
