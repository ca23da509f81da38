#!/usr/bin/env bash
# Shows confman at work: three processes on this machine, a real configuration tree, a leader killed, nothing
# lost; a fourth member that joins, a leader that is replaced, a snapshot, a value of 100 MiB.
#
#   examples/cluster/demo.sh              on a bare Debian 12 this is all it takes
#   examples/cluster/demo.sh --keep       leaves the cluster running, with the curl lines to try
#   examples/cluster/demo.sh --tree DIR   loads another tree than /etc
#
# Installs the Debian packages that are missing, builds in build/demo (BUILD_DIR names another build), chooses
# free ports and a directory of its own, and removes all that it started and wrote. Exits 0 only if everything
# held.
set -euo pipefail

keep=no
tree=/etc
while [ $# -gt 0 ]; do
  case "$1" in
    --keep) keep=yes ;;
    --tree)
      tree=${2:?--tree takes a directory}
      shift
      ;;
    *)
      sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
      exit 2
      ;;
  esac
  shift
done
if ! tree=$(cd "$tree" && pwd -P); then exit 2; fi

cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib/packages.sh
source tests/lib/packages.sh

work=
step="preparing"
pids=()        # by node id
helpers=()     # other processes in the background
ports=()       # peers 0 to 3, HTTP 4 to 7
nodes=(1 2 3)

say() {
  step=$*
  printf '\n== %s\n' "$*"
}

# --- leaving nothing behind ---

end_process() {  # pid: asks, then insists
  local pid=$1 i
  kill "$pid" 2>/dev/null || return 0
  for ((i = 0; i < 50; ++i)); do
    if ! kill -0 "$pid" 2>/dev/null; then break; fi
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

clean_up() {
  local status=$? pid log
  trap - EXIT INT TERM HUP
  set +e
  if [ "$status" -ne 0 ]; then
    printf '\nFAILED while: %s\n' "$step" >&2
    for log in "${work:-/nonexistent}"/node*.log; do
      if [ -f "$log" ]; then
        echo "--- the end of $(basename "$log"):" >&2
        tail -n 8 "$log" >&2
      fi
    done
  elif [ "$keep" = yes ]; then
    return
  fi
  for pid in "${helpers[@]}"; do
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
  for pid in "${pids[@]}"; do end_process "$pid"; done
  wait 2>/dev/null
  if [ -n "$work" ]; then rm -rf "$work"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# --- building ---

build() {
  local directory=${BUILD_DIR:-} options=() log
  if [ -z "$directory" ]; then
    directory=build/demo
    if [ -x build/release/examples/cluster/confmand ]; then directory=build/release; fi
  fi
  mkdir -p "$directory"
  directory=$(cd "$directory" && pwd)
  log=$directory/demo.log
  exec 9>"$directory/demo.lock"
  flock 9  # another demo may be building
  if [ ! -f "$directory/CMakeCache.txt" ]; then
    options=(-G Ninja -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG" -DCONFMAN_CCACHE=ON
      -DCONFMAN_BUILD_TESTS=OFF -DCONFMAN_BUILD_BENCHMARKS=OFF)
  fi
  if ! { cmake -S . -B "$directory" "${options[@]}" &&
    cmake --build "$directory" --target confmand confman_load; } >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    return 1
  fi
  exec 9>&-
  bin=$directory/examples/cluster
}

# A directory on a disk: on a file system in memory durability would cost nothing and prove nothing.
make_work_directory() {
  local base
  for base in "${TMPDIR:-}" /var/tmp "$PWD/build" /tmp; do
    if [ -n "$base" ] && [ -d "$base" ] && [ -w "$base" ]; then
      case "$(stat -f -c %T "$base")" in
        tmpfs | ramfs) continue ;;
      esac
      if [ "$(df -Pk "$base" | awk 'NR == 2 { print $4 }')" -lt 1048576 ]; then continue; fi
      work=$(mktemp -d "$base/confman-demo.XXXXXX")
      return
    fi
  done
  echo "error: found no directory on a disk with 1 GiB to spare; name one in TMPDIR" >&2
  return 1
}

# --- the cluster ---

http() { echo "127.0.0.1:${ports[$1 + 3]}"; }  # node id

address_list() {  # offset into ports, node id...
  local id list='' offset=$1
  shift
  for id in "$@"; do list+=${list:+,}$id=127.0.0.1:${ports[$id - 1 + offset]}; done
  echo "$list"
}

# What is started so dies with this script, even if that is killed.
tied=(setpriv --pdeathsig TERM)

start_node() {  # id [flags of a node that joins, with its own --members]
  local id=$1 launch=() how=(--members "$(address_list 0 1 2 3)")
  if [ $# -gt 1 ]; then how=("${@:2}"); fi
  if [ "$keep" = no ]; then launch=("${tied[@]}"); fi
  "${launch[@]}" "$bin/confmand" --id "$id" "${how[@]}" --http "$(http "$id")" \
    --http-peers "$(address_list 4 1 2 3 4)" --directory "$work/data/$id" --cluster "$cluster" \
    </dev/null >>"$work/node$id.log" 2>&1 &
  pids[id]=$!
}

ask() { curl -sS --noproxy '*' --max-time "${patience:-10}" "$@"; }

is_ready() { [ "$(ask -o /dev/null -w '%{http_code}' "http://$(http "$1")/readyz" 2>/dev/null)" = 200 ]; }

wait_ready() {  # id
  local i
  for ((i = 0; i < 300; ++i)); do
    if is_ready "$1"; then return; fi
    if ! kill -0 "${pids[$1]}" 2>/dev/null; then
      echo "error: node $1 ended: $(tail -n 1 "$work/node$1.log")" >&2
      return 1
    fi
    sleep 0.05
  done
  echo "error: node $1 did not become ready" >&2
  return 1
}

start_cluster() {
  local try id status
  for try in 1 2 3 4 5; do
    read -ra ports <<<"$("$bin/confman_load" ports --count 8)"
    cluster=demo-$$-$try-$RANDOM
    rm -rf "$work/data"
    for id in "${nodes[@]}"; do start_node "$id"; done
    status=0
    for id in "${nodes[@]}"; do
      wait_ready "$id" || status=1
    done
    if [ "$status" -eq 0 ]; then return; fi
    # Somebody may have taken a port since it was found free.
    for id in "${nodes[@]}"; do end_process "${pids[$id]}"; done
    if ! grep -q 'in use' "$work"/node*.log; then return 1; fi
  done
  return 1
}

leader() {  # as node $1 sees it; waits until it sees one
  local i lead
  for ((i = 0; i < 100; ++i)); do
    lead=$(ask "http://$(http "$1")/v1/status" | sed -n 's/.*"leader":\([0-9]*\).*/\1/p')
    if [ "${lead:-0}" -ne 0 ]; then
      echo "$lead"
      return
    fi
    sleep 0.1
  done
  echo "error: node $1 knows no leader" >&2
  return 1
}

follower() {
  local id lead
  lead=$(leader "${nodes[0]}")
  for id in "${nodes[@]}"; do
    if [ "$id" != "$lead" ]; then
      echo "$id"
      return
    fi
  done
}

all_http() {
  local id list=
  for id in "${nodes[@]}"; do list+=${list:+,}$(http "$id"); done
  echo "$list"
}

load() { timeout --kill-after=5 100 "$bin/confman_load" "$@"; }

value_of() {  # NAME, from the NAME=VALUE lines in FILE
  sed -n "s/^$1=//p" "$2"
}

# --- what is shown ---

load_tree() {
  load scan --root "$tree" --out "$work/corpus" >"$work/scan"
  echo "$(value_of files "$work/scan") public text files below $tree, $(value_of bytes "$work/scan") bytes"
  echo "left out: $(value_of not_public "$work/scan") that not everybody may read," \
    "$(value_of not_text "$work/scan") binary, $(value_of too_large "$work/scan") over 1 MiB," \
    "$(value_of path_too_long "$work/scan") with too long a path"
  load load --corpus "$work/corpus" --http "$(all_http)" >"$work/load"
  echo "put through all three nodes in $(value_of seconds "$work/load") s"
}

verify_everywhere() {
  local id
  for id in "${nodes[@]}"; do
    load verify --corpus "$work/corpus" --http "$(http "$id")" --at-least "$(value_of token "$work/load")" \
      >"$work/verify$id"
    echo "node $id: $(value_of verified "$work/verify$id") values," \
      "$(value_of different "$work/verify$id") different, $(value_of seconds "$work/verify$id") s"
  done
}

wait_for_line() {  # pattern file
  local i
  for ((i = 0; i < 100; ++i)); do
    if grep -q "$1" "$2" 2>/dev/null; then return; fi
    sleep 0.05
  done
  echo "error: '$1' did not appear in $2" >&2
  return 1
}

show_watch() {
  local watcher writer watch_pid
  watcher=$(follower)
  writer=$(leader 1)
  echo "curl -N 'http://$(http "$watcher")/v1/watch?prefix=/demo/watch/'   # node $watcher, a follower"
  "${tied[@]}" curl -sN --noproxy '*' --max-time 30 "http://$(http "$watcher")/v1/watch?prefix=/demo/watch/" \
    >"$work/watch" 2>/dev/null </dev/null &
  watch_pid=$!
  helpers+=("$watch_pid")
  wait_for_line '^: changes after' "$work/watch"
  ask -f -o /dev/null -X PUT --data-binary 250 "http://$(http "$writer")/v1/kv/demo/watch/timeout_ms"
  ask -f -o /dev/null -X PUT --data-binary 500 "http://$(http "$watcher")/v1/kv/demo/watch/timeout_ms"
  ask -f -o /dev/null -X DELETE "http://$(http "$writer")/v1/kv/demo/watch/timeout_ms"
  wait_for_line '^event: erase' "$work/watch"
  wait_for_line '"previous_revision"' "$work/watch"
  kill "$watch_pid" 2>/dev/null || true
  wait "$watch_pid" 2>/dev/null || true
  sed 's/^/   /' "$work/watch"
  [ "$(sed -n 's/^event: //p' "$work/watch" | tr '\n' ' ')" = "put put erase " ] &&
    sed -n 's/^id: //p' "$work/watch" | sort -n -c
}

now_us() { echo "${EPOCHREALTIME//[!0-9]/}"; }

kill_leader_under_load() {
  local writes_pid killed_us started_us survivor
  "${tied[@]}" "$bin/confman_load" write-load --http "$(all_http)" --log "$work/writes" --seconds 60 \
    >"$work/write_load" 2>"$work/write_errors" </dev/null &
  writes_pid=$!
  helpers+=("$writes_pid")
  sleep 2
  victim=$(leader 1)
  killed_us=$(now_us)
  kill -9 "${pids[$victim]}"
  wait "${pids[$victim]}" 2>/dev/null || true
  echo "killed node $victim, the leader, with kill -9 while 12 clients write"
  sleep 3
  survivor=$((victim % 3 + 1))
  echo "node $(leader "$survivor") leads now; starting node $victim again on its directory"
  started_us=$(now_us)
  start_node "$victim"
  wait_ready "$victim"
  catch_up_ms=$((($(now_us) - started_us) / 1000))
  echo "node $victim has caught up after $catch_up_ms ms, still under load"
  sleep 1
  kill "$writes_pid"
  wait "$writes_pid" || {
    cat "$work/write_errors" >&2
    return 1
  }
  load gap --log "$work/writes" --since "$killed_us" --without "$(http "$victim")" >"$work/gap"
  echo "the survivors acknowledged nothing for $(value_of gap_ms "$work/gap") ms, then $(value_of \
    acknowledged_after "$work/gap") writes"
}

check_writes_everywhere() {
  local id status=0
  for id in "${nodes[@]}"; do
    load check --log "$work/writes" --http "$(http "$id")" >"$work/check$id" || status=1
    echo "node $id: $(value_of checked "$work/check$id") writes looked up," \
      "$(value_of lost "$work/check$id") lost, $(value_of resurrected "$work/check$id") refused but there"
  done
  load equal --http "$(all_http)" >"$work/equal" || status=1
  sed '/^equal=/d; s/^/   /' "$work/equal"
  return "$status"
}

members_of() { ask -f "http://$(http "$1")/v1/members"; }  # as node $1 sees them

wait_for_voter() {  # id
  local i
  for ((i = 0; i < 200; ++i)); do
    if members_of "${nodes[0]}" | grep -q "\"$1\":{[^}]*\"kind\":\"voter\""; then return; fi
    sleep 0.05
  done
  echo "error: node $1 did not become a voter" >&2
  return 1
}

join_a_fourth() {
  local contact started_us
  contact=$(follower)
  started_us=$(now_us)
  start_node 4 --join --members "$(address_list 0 "$contact" 4)"
  wait_ready 4
  wait_for_voter 4
  join_ms=$((($(now_us) - started_us) / 1000))
  nodes=(1 2 3 4)
  echo "node 4 asked node $contact, a follower, and was a voter $join_ms ms after its process began"
  load verify --corpus "$work/corpus" --http "$(http 4)" --at-least "$(value_of token "$work/load")" \
    >"$work/verify4"
  echo "node 4: $(value_of verified "$work/verify4") values, $(value_of different "$work/verify4") different"
  load equal --http "$(all_http)" >"$work/equal4"
  sed '/^equal=/d; s/^/   /' "$work/equal4"
}

replace_the_leader() {
  local old via started_us id rest=()
  old=$(leader 1)
  via=$(follower)
  started_us=$(now_us)
  echo "curl -L -X POST 'http://$(http "$via")/v1/leader?to=4'   # node $via redirects to node $old"
  ask -f -L -X POST "http://$(http "$via")/v1/leader?to=4" | sed 's/^/   /'
  echo "curl -L -X DELETE 'http://$(http "$via")/v1/members/$old'"
  ask -f -L -o /dev/null -X DELETE "http://$(http "$via")/v1/members/$old"
  replace_ms=$((($(now_us) - started_us) / 1000))
  end_process "${pids[$old]}"
  for id in "${nodes[@]}"; do
    if [ "$id" != "$old" ]; then rest+=("$id"); fi
  done
  nodes=("${rest[@]}")
  members_of 4 | sed 's/^/   /'
  echo "node $old, which led, is removed and ended; node $(leader 4) leads nodes ${nodes[*]}"
  [ "$(leader 4)" = 4 ]
}

show_snapshot() {
  local id
  for id in "${nodes[@]}"; do
    echo "node $id: $(ask -f -X POST "http://$(http "$id")/v1/snapshot" | tr -d '\n')," \
      "$(cat "$work/data/$id"/snapshot-*.snap | wc -c) bytes"
  done
}

who_leads() {  # and in which term, as node $1 sees it
  ask "http://$(http "$1")/v1/status" | sed 's/.*"leader":\([0-9]*\),"term":\([0-9]*\).*/leader \1, term \2/'
}

put_large_value() {
  local id started_us token before
  before=$(who_leads 4)
  head -c 104857600 /dev/urandom >"$work/large"
  started_us=$(now_us)
  # Some 400 entries, one after the other: on a slow disk that takes a while.
  token=$(patience=120 ask -f -o /dev/null -D - -T "$work/large" -X PUT \
    "http://$(http "$(follower)")/v1/kv/demo/large" | tr -d '\r' | sed -n 's/^X-Confman-Version: //p')
  large_ms=$((($(now_us) - started_us) / 1000))
  for id in "${nodes[@]}"; do
    ask -f "http://$(http "$id")/v1/kv/demo/large?at_least=$token" | cmp - "$work/large"
    echo "node $id has it, byte by byte"
  done
  ask -f -o /dev/null -X DELETE "http://$(http 4)/v1/kv/demo/large"
  echo "before: $before; after: $(who_leads 4)"
  [ "$before" = "$(who_leads 4)" ]  # no election
}

sum_of() {  # NAME FILE...
  local name=$1 file total=0
  shift
  for file in "$@"; do total=$((total + $(value_of "$name" "$file"))); done
  echo "$total"
}

row() { printf '  %-46s %s\n' "$1" "$2"; }

print_table() {
  printf '\n'
  row "files loaded" "$(value_of files "$work/scan")"
  row "bytes loaded" "$(value_of bytes "$work/scan")"
  row "load time, through all three nodes" "$(value_of seconds "$work/load") s"
  row "verify time, per node" "$(value_of seconds "$work/verify1") / $(value_of seconds \
    "$work/verify2") / $(value_of seconds "$work/verify3") s"
  row "values that differ, all nodes" "$(sum_of different "$work"/verify[123])"
  row "time without a leader after kill -9" "$(value_of gap_ms "$work/gap") ms"
  row "catching up after the restart" "$catch_up_ms ms"
  row "writes acknowledged" "$(value_of acknowledged "$work/write_load")"
  row "writes with unknown outcome (of them applied)" \
    "$(value_of unknown "$work/write_load") ($(value_of unknown_applied "$work/check1"))"
  row "writes refused or not sent" "$(value_of failed "$work/write_load")"
  row "acknowledged writes lost, all nodes" "$(sum_of lost "$work"/check[123])"
  row "a fourth member: from its start to a voter" "$join_ms ms"
  row "the leader hands over and is removed" "$replace_ms ms"
  row "put of a value of 100 MiB" "$large_ms ms"
}

print_hints() {
  local lead=$1 other=$2
  cat <<END

The cluster is left running: nodes ${nodes[*]}, http://$(all_http | sed 's|,|, http://|g')

  curl -i -X PUT --data-binary 250 http://$(http "$other")/v1/kv/billing/timeout_ms
  curl -i "http://$(http 4)/v1/kv/billing/timeout_ms?consistency=linearizable"
  curl -i -X PUT -H 'If-None-Match: *' --data-binary 1 http://$(http "$lead")/v1/kv/billing/timeout_ms
  curl -s "http://$(http 4)/v1/kv?prefix=$tree/&limit=3&keys_only=1"
  curl -N "http://$(http "$other")/v1/watch?prefix=/billing/"
  curl -s http://$(http "$other")/v1/status

  kill -9 ${pids[$lead]}   # the leader
  kill $(for id in "${nodes[@]}"; do echo -n "${pids[id]} "; done); rm -rf $work   # the end
END
}

install_missing g++=g++ cmake=cmake ninja-build=ninja pkg-config=pkg-config curl=curl \
  libasio-dev=asio/version.hpp libfmt-dev=fmt/core.h libcereal-dev=cereal/cereal.hpp \
  libcpp-httplib-dev=/usr/include/httplib.h,/usr/local/include/httplib.h

say "building"
build
began=$SECONDS
make_work_directory

say "three processes in $work"
start_cluster
echo "node $(leader 1) leads"

say "loading a real configuration tree"
load_tree

say "every value through every process, byte by byte"
verify_everywhere

say "a watch on a follower, with writes made elsewhere"
show_watch

say "the leader dies in the middle of a write load"
kill_leader_under_load

say "every acknowledged write on every node"
check_writes_everywhere

say "a fourth member joins"
join_a_fourth

say "the leader hands over, is removed, and ends"
replace_the_leader

say "a snapshot on each node"
show_snapshot

say "a value of 100 MiB through a follower"
put_large_value

say "result"
print_table
echo
echo "all held, in $((SECONDS - began)) s after the build"
if [ "$keep" = yes ]; then print_hints "$(leader 4)" "$(follower)"; fi
