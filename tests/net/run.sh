#!/usr/bin/env bash
# Real faults for real processes (docs/guide/faults.md): kill -9, pauses, partitions, loss of power, full and
# failing disks, under clients whose histories are judged.
#
#   tests/net/run.sh [--scenario NAME]... [--list] [--smoke] [--rounds N] [--nodes 3|5] [--keep] [--seed N]
#
# BUILD_DIR: a build of this project with the targets confmand and confman_check; without it these are built,
# in build/release. What needs root, network namespaces or a file system of its own is skipped where there are
# none.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/lib/one_binary.sh

case "${BUILD_DIR:-} $* " in
  " "*" --list "* | " "*" --help "* | " "*" -h "*) ;;
  " "*)
    for program in confmand confman_check; do
      build_one "$program" build/net-build.log "$program"
    done
    ;;
esac
programs=${BUILD_DIR:-$PWD/build/release}/examples

isolate=(unshare --net --mount --pid --fork --kill-child --mount-proc)
not_isolated=
if [ "$(id -u)" -ne 0 ]; then
  not_isolated="not root: no network namespaces, no file systems"
elif ! install_missing iproute2=ip nftables=nft e2fsprogs=mkfs.ext4 util-linux=nsenter; then
  not_isolated="ip, nft, mkfs.ext4 or nsenter is missing"
elif ! "${isolate[@]}" true 2>/dev/null; then
  not_isolated="unshare can't make namespaces here"
fi
# Whatever is started ends with the process namespace, also if this is killed.
if [ -n "$not_isolated" ]; then isolate=(); fi
exec "${isolate[@]}" python3 tests/net/faults/main.py --not-isolated "$not_isolated" \
  --programs "$programs" "$@"
