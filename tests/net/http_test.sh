#!/usr/bin/env bash
# Every endpoint and every error of the HTTP face that examples/cluster shows, against three processes.
# BUILD_DIR: a build of this project with the targets confmand and confman_load.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=${BUILD_DIR:-build/release}/examples/cluster
for name in confmand confman_load; do
  if [ ! -x "$programs/$name" ]; then
    echo "error: $programs/$name is missing; build the target $name, or set BUILD_DIR" >&2
    exit 2
  fi
done
exec timeout --kill-after=5 150 python3 tests/net/http/driver.py "$programs"
