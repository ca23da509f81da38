#!/usr/bin/env bash
# Breaks one rule of confman after the other, and counts how many of these mutants the simulation notices. The
# table of them is include/confman/mutants.hpp. Ends with `N killed of N`, and with status 1 unless all are.
#
#   tests/mutants.sh            every mutant, from five seeds on
#     --mutant NAME   this one alone (may be given more than once); --list names them
#     --starts S      how many first seeds: 1, 100001, 200001, ... (5)
#     --seeds N       at most so many from each (50000)
#     --seconds T     and at most so long, of processor time (60)
#     --jobs J        mutants at a time (as many as there are processors)
#     --smoke         one start, at most 60 s in all: those that the table in docs/guide/mutants.md shows to
#                     fall within a few seeds; says which it leaves out, and fails if it is not even through
#                     three quarters of the others
#     --write FILE    the table in markdown, too
#
# Before it, the program without a mutant must pass the beginning of the same seeds, and after it each seed
# that killed a mutant. Builds build/mutants/tests/confman_sim first, which no release contains.
# CONFMAN_SIM_MUTANTS names another executable.
set -euo pipefail
cd "$(dirname "$0")/.."

case " $* " in
  *" --help "* | *" -h "*)
    sed -n '2,18s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

binary=${CONFMAN_SIM_MUTANTS:-}
if [ -z "$binary" ]; then
  binary=build/mutants/tests/confman_sim
  source tests/lib/one_binary.sh
  build_one confman_sim build/mutants-build.log 'the simulation with mutants' mutants
fi
exec python3 tests/mutants/driver.py "$binary" "$@"
