"""Cases about the cluster itself: sessions, large values, snapshots, backups, members, leadership."""
import os
import socket

from cluster import MAX_VALUE_BYTES, NODES, equal, eventually, require

CASES = []


def case(function):
    CASES.append(function)
    return function


def open_session(c, i, time_to_live=60000):
    answer = c.ask(i, "POST", f"/v1/sessions?ttl_ms={time_to_live}").expect(201)
    said = answer.json()
    equal((said["ttl_ms"], answer.headers["Location"]), (time_to_live, f"/v1/sessions/{said['session']}"),
          "a session")
    return said["session"]


@case
def a_repeated_write_gets_the_first_answer(c):
    session = open_session(c, 2)
    key = "/v1/kv/once/a"
    first = c.ask(1, "PUT", key, b"one", Idempotency_Key=f"{session}-1").expect(201)
    c.ask(3, "PUT", key, b"by another").expect(200)
    for i in NODES:
        again = c.ask(i, "PUT", key, b"one", Idempotency_Key=f"{session}-1").expect(201)
        equal((again.json(), again.headers["ETag"], again.version),
              (first.json(), first.headers["ETag"], first.version), f"the answer of node {i}")
        got = c.ask(i, "GET", key + "?consistency=linearizable").expect(200, Confman_Key_Version="2")
        equal(got.body, b"by another", "the value, written once")
    gone = c.ask(2, "DELETE", key, Idempotency_Key=f"{session}-2").expect(200).json()
    equal(c.ask(3, "DELETE", key, Idempotency_Key=f"{session}-2").expect(200).json(), gone, "a DELETE again")
    equal(gone["existed"], True, "what the first DELETE erased")
    # A refusal is an answer too.
    wrong = {"If_Match": '"1"', "Idempotency_Key": f"{session}-3"}
    for i in NODES:
        c.ask(i, "PUT", key, b"x", **wrong).expect_problem(412, "compare_failed")
    made = c.ask(1, "PUT", key, b"y", If_None_Match="*", Idempotency_Key=f"{session}-4-4").expect(201).json()
    again = c.ask(2, "PUT", key, b"y", If_None_Match="*", Idempotency_Key=f"{session}-4-4").expect(201).json()
    equal(again, made, "a put if absent, again")
    # 4 says that all answers below it have arrived.
    c.ask(1, "PUT", key, b"one", Idempotency_Key=f"{session}-1").expect_problem(410, "session_expired")
    c.ask(1, "DELETE", f"/v1/sessions/{session}").expect(200)


@case
def a_session_ends(c):
    session = open_session(c, 1)
    equal(c.ask(2, "POST", f"/v1/sessions/{session}").expect(200).json(), {"session": session, "open": True},
          "a session kept alive")
    c.ask(3, "DELETE", f"/v1/sessions/{session}").expect(200)
    for method in ("POST", "DELETE"):
        c.ask(1, method, f"/v1/sessions/{session}").expect_problem(410, "session_expired")
    late = c.ask(1, "PUT", "/v1/kv/once/b", b"x", Idempotency_Key=f"{session}-1")
    late.expect_problem(410, "session_expired")
    c.ask(1, "GET", "/v1/kv/once/b?consistency=linearizable").expect_problem(404, "key_not_found")
    short = open_session(c, 1, 1)

    def expired():
        c.ask(1, "PUT", "/v1/kv/once/clock", b"x")  # the log's time goes on with writes
        return c.ask(1, "PUT", "/v1/kv/once/b", b"x", Idempotency_Key=f"{short}-1").status == 410
    eventually(expired, "a session of 1 ms has ended")


@case
def idempotency_keys_that_are_not_understood_are_refused(c):
    for header in ("1", "1-", "-1", "1-0", "0-1", "1-2-3", "1-2-1-1", "a-1", "1-2x", "1 - 2"):
        answer = c.ask(1, "PUT", "/v1/kv/once/c", b"x", Idempotency_Key=header)
        said = answer.expect_problem(400, "bad_request")
        require("Idempotency-Key" in said["detail"], "a detail without the header's name:", said["detail"])
    both = c.ask(1, "PUT", "/v1/kv/once/c", b"x", If_Match="*", Idempotency_Key="1-1")
    both.expect_problem(400, "bad_request")
    for ttl in ("0", "604800001", "x", "-1"):
        c.ask(1, "POST", f"/v1/sessions?ttl_ms={ttl}").expect_problem(400, "bad_request")
    c.ask(1, "GET", "/v1/kv/once/c?consistency=linearizable").expect_problem(404, "key_not_found")


@case
def large_values_go_in_pieces(c):
    value = os.urandom(MAX_VALUE_BYTES)
    with c.watch(3, "/v1/watch?prefix=/large/") as events:
        put = c.ask(2, "PUT", "/v1/kv/large/a", value).expect(201)
        _, event, data = events.next()
    equal((event, data.get("value_bytes"), "value" in data), ("put", len(value), False), "a large change")
    for i in NODES:
        got = c.ask(i, "GET", f"/v1/kv/large/a?at_least={put.version}").expect(200, ETag=put.headers["ETag"])
        require(got.body == value, "the value from node", i, "differs")
        head = c.ask(i, "HEAD", "/v1/kv/large/a").expect(200, Content_Length=str(len(value)))
        equal(head.body, b"", "the body of HEAD")
    listed = c.ask(1, "GET", f"/v1/kv?prefix=/large/&at_least={put.version}").expect(200).json()["entries"]
    equal([(e["key"], e.get("value_bytes"), "value" in e) for e in listed], [("/large/a", len(value), False)],
          "a list")
    session = open_session(c, 1)
    other = os.urandom(MAX_VALUE_BYTES)
    once = {"If_Match": put.headers["ETag"], "Idempotency_Key": f"{session}-1"}
    first = c.ask(1, "PUT", "/v1/kv/large/a", other, **once).expect(200).json()
    equal(c.ask(3, "PUT", "/v1/kv/large/a", other, **once).expect(200).json(), first, "a large put, again")
    require(c.ask(2, "GET", "/v1/kv/large/a?consistency=linearizable").body == other, "the second value")
    c.ask(1, "DELETE", "/v1/kv/large/a").expect(200)


@case
def large_bodies_that_wait_leave_room_for_small_ones(c):
    head = f"PUT /v1/kv/slow HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_VALUE_BYTES}\r\n\r\n".encode()
    slow = [socket.create_connection(("127.0.0.1", c.http[1]), timeout=20) for _ in range(5)]
    try:
        for s in slow:
            s.sendall(head + b"x" * 5000)

        def refused():
            answer = c.ask(1, "PUT", "/v1/kv/large/b", b"x" * MAX_VALUE_BYTES)
            return answer if answer.status == 503 else None
        eventually(refused, "large bodies over the limit are refused").expect_problem(503, "busy")
        c.ask(1, "PUT", "/v1/kv/slow/small", b"x").expect(201)
    finally:
        for s in slow:
            s.close()
    c.ask(1, "GET", "/v1/kv/slow?consistency=linearizable").expect_problem(404, "key_not_found")
    large = b"x" * MAX_VALUE_BYTES
    eventually(lambda: c.ask(1, "PUT", "/v1/kv/large/b", large).status in (200, 201), "there is room again")


@case
def snapshots_are_taken_on_request(c):
    at = c.ask(1, "PUT", "/v1/kv/snapshot", b"x").version
    for i in NODES:
        c.ask(i, "GET", f"/v1/kv/snapshot?at_least={at}").expect(200)
        taken = c.ask(i, "POST", "/v1/snapshot").expect(200).json()["version"]
        require(int(taken.split(":")[1]) >= int(at.split(":")[1]), "a snapshot of", taken)
        equal(c.ask(i, "GET", "/v1/status").json()["snapshot"], int(taken.split(":")[1]), "in the status")


@case
def backups_go_where_the_operator_allows(c):
    c.ask(2, "POST", "/v1/backup?name=a").expect_problem(403, "backups_disabled")
    for name in ("", "..", "../a", "a/b", "/a", "%2e%2e%2fa", ".a", "a%00", "a" * 129):
        c.ask(1, "POST", f"/v1/backup?name={name}").expect_problem(400, "bad_request")
    c.ask(1, "POST", "/v1/backup").expect_problem(400, "bad_request")
    equal(os.listdir(c.backups()), [], "the directory of backups")
    at = c.ask(1, "PUT", "/v1/kv/backup", b"kept").version
    c.ask(1, "GET", f"/v1/kv/backup?at_least={at}").expect(200)
    equal(c.ask(1, "POST", "/v1/backup?name=one").expect(201).json()["name"], "one", "the backup's name")
    equal(os.listdir(c.backups()), ["one"], "the directory of backups")
    c.ask(1, "POST", "/v1/backup?name=one").expect_problem(409, "backup_exists")


@case
def a_backup_begins_a_new_cluster(c):
    file = os.path.join(c.backups(), "one")
    new = {"members": (5,), "directory": "restored"}
    require("not empty" in c.refused(5, "--restore", file, members=(5,), directory="1", cluster="other"),
            "a restore over a directory in use")
    c.refused(5, "--restore", file, cluster="http-test", **new)  # the name that the backup's cluster has
    c.refused(5, "--restore", os.path.join(c.directory, "node1.log"), cluster="other", **new)
    c.start(5, "--restore", file, cluster="other", **new)
    c.wait_ready(5)
    equal(c.ask(5, "GET", "/v1/kv/backup").expect(200).body, b"kept", "a value from the backup")
    c.ask(5, "PUT", "/v1/kv/backup", b"changed").expect(200)
    equal(c.ask(1, "GET", "/v1/kv/backup?consistency=linearizable").body, b"kept", "in the first cluster")
    equal(c.stop(5), 0, "the exit status")


@case
def a_lost_majority_is_recovered_only_if_that_is_meant(c):
    """Of the restored cluster: its one member's directory is what is left."""
    lost = os.path.join(c.directory, "restored")
    new = {"members": (5,), "cluster": "third", "directory": "recovered"}
    said = c.refused(5, "--recover-from", lost, **new)
    require("--acknowledged-writes-may-be-lost" in said, "a refusal that says how:", said)
    require(not os.path.exists(os.path.join(c.directory, "recovered")), "a refusal made the directory")
    c.start(5, "--recover-from", lost, "--acknowledged-writes-may-be-lost", **new)
    c.wait_ready(5)
    equal(c.ask(5, "GET", "/v1/kv/backup").expect(200).body, b"changed", "the last value")
    equal(c.stop(5), 0, "the exit status")


@case
def changes_of_members_that_make_no_sense_are_refused(c):
    lead, follower = c.leader(), c.follower()
    before = c.ask(lead, "GET", "/v1/members").json()
    for query in ("", "?add=4", "?add=x,127.0.0.1:1", "?add=4,nowhere", "?add=0,127.0.0.1:1", "?remove=x",
                  "?priority=1,256", "?priority=1,x", "?address=1,", "?ad=4,127.0.0.1:1",
                  "?address=1,127.0.0.1"):
        c.ask(lead, "POST", "/v1/members" + query).expect_problem(400, "bad_request")
    taken = f"?add={lead},127.0.0.1:{c.peers[lead]}"
    c.ask(lead, "POST", "/v1/members" + taken).expect_problem(409, "already_a_member")
    c.ask(lead, "POST", f"/v1/members/{follower}/promote").expect_problem(409, "already_a_member")
    for method, target in (("POST", "?remove=9"), ("POST", "?promote=9"), ("POST", "?priority=9,2"),
                           ("DELETE", "/9"), ("POST", "/9/demote")):
        c.ask(lead, method, "/v1/members" + target).expect_problem(404, "not_a_member")
    c.ask(lead, "POST", "/v1/members?remove=1&remove=2&remove=3").expect_problem(409, "last_voter")
    c.ask(lead, "POST", "/v1/members?remove=1&demote=1").expect_problem(400, "bad_change")
    c.ask(lead, "POST", "/v1/leader?to=9").expect_problem(404, "not_a_member")
    for method, target in (("POST", "/v1/members?remove=1"), ("DELETE", "/v1/members/1"),
                           ("POST", "/v1/leader")):
        c.ask(follower, method, target).expect(307, Location=f"http://127.0.0.1:{c.http[lead]}{target}")
    equal(c.ask(lead, "GET", "/v1/members").json(), before, "the members after refused changes")


def kind(c, i):
    """What the leader says that node i is."""
    return c.ask(c.leader(), "GET", "/v1/members").json()["members"].get(str(i), {}).get("kind")


def change(c, method, target):
    """On whoever leads; a leader that is new, or still busy with a change, is asked again."""
    def done():
        answer = c.ask(c.leader(), method, target)
        return answer if answer.status not in (307, 409, 503) else None
    return eventually(done, f"{method} {target}").expect(200)


@case
def a_node_joins_through_a_follower(c):
    follower = c.follower()
    c.start(4, "--join", members=(follower, 4))
    c.wait_ready(4)
    eventually(lambda: kind(c, 4) == "voter", "node 4 is a voter")
    at = c.ask(4, "PUT", "/v1/kv/join", b"from the new one").expect(201).version
    states = set()
    for i in NODES + (4,):
        c.ask(i, "GET", f"/v1/kv/join?at_least={at}").expect(200)
        states.add(c.ask(i, "GET", "/v1/status").json()["state_hash"])
    equal(len(states), 1, f"states {states}")


@case
def leadership_is_handed_over_on_request(c):
    for target in (4, NODES[0], NODES[1], 4):
        lead = c.leader()
        answer = c.ask(lead, "POST", f"/v1/leader?to={target}").expect(200)
        equal(answer.json()["leader"], target, "who leads then")
        equal(c.leader(), target, "who leads")
        c.ask(lead, "PUT", "/v1/kv/handed/over", b"x")


@case
def the_leader_is_removed_and_its_id_used_again(c):
    equal(c.leader(), 4, "who leads")
    at = c.ask(1, "PUT", "/v1/kv/removed", b"x").version
    change(c, "DELETE", "/v1/members/4")
    require(c.leader() != 4, "the removed node leads")
    equal(kind(c, 4), None, "node 4")
    for i in NODES:
        c.ask(i, "GET", f"/v1/kv/removed?at_least={at}&consistency=linearizable").expect(200)
    c.kill(4)
    c.start(4, "--join", "--learner", members=(1, 4), directory="4-again")
    c.wait_ready(4)
    equal(kind(c, 4), "learner", "what node 4 is now")
    equal(c.ask(4, "GET", f"/v1/kv/removed?at_least={at}").expect(200).body, b"x", "at the learner")


@case
def learners_are_promoted_and_demoted_and_several_change_at_once(c):
    change(c, "POST", "/v1/members/4/promote")
    equal(kind(c, 4), "voter", "node 4 when promoted")
    change(c, "POST", "/v1/members/4/demote")
    equal(kind(c, 4), "learner", "node 4 when demoted")
    change(c, "POST", f"/v1/members?learner=5,127.0.0.1:{c.peers[5]}&promote=4&priority=1,3")
    now = c.ask(c.leader(), "GET", "/v1/members").json()["members"]
    equal((now["4"]["kind"], now["5"]["kind"], now["1"]["priority"], now["5"]["address"]),
          ("voter", "learner", 3, f"127.0.0.1:{c.peers[5]}"), "three changes at once")
    change(c, "POST", "/v1/members?remove=4&remove=5&priority=1,1")
    equal(sorted(c.ask(c.leader(), "GET", "/v1/members").json()["members"]), ["1", "2", "3"], "the members")
    c.kill(4)


@case
def a_wiped_member_is_refused_until_its_id_is_removed(c):
    at = c.ask(1, "PUT", "/v1/kv/wiped", b"kept").version
    c.kill(3)
    c.start(3, directory="3-empty")
    eventually(lambda: "bound to another data directory" in c.log_of(3), "node 3 is told why it is refused")
    c.ask(3, "GET", "/readyz").expect_problem(503, "not_ready")
    change(c, "DELETE", "/v1/members/3")
    c.kill(3)
    c.start(3, "--join", members=(1, 3), directory="3-empty-again")
    c.wait_ready(3)
    eventually(lambda: kind(c, 3) == "voter", "node 3 is a voter again")
    equal(c.ask(3, "GET", f"/v1/kv/wiped?at_least={at}").expect(200).body, b"kept", "at the wiped member")
