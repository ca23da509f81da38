# shellcheck shell=bash
# Runs named stages, each in a subshell with its own log, and counts what passed and what failed.
# A stage is a function stage_NAME.

build=build

passed=0
failed=0
failed_stages=()

# run_stage NAME: runs stage_NAME; its output goes to the log, and its end to the terminal when it fails.
run_stage() {
  local name=$1 log=$build/logs/$1.log start=$SECONDS status=0 cases="" p=0 f=0
  rm -f "$build/logs/$name.cases"
  printf -- '-- %-14s ' "$name"
  # A subshell under `set -e` must not stand in a condition, which would switch errexit off inside it.
  set +e
  current_stage=$name
  (
    set -e
    "stage_$name"
  ) >"$log" 2>&1 </dev/null
  status=$?
  set -e

  if [ -f "$build/logs/$name.cases" ]; then
    while read -r more_passed more_failed; do
      p=$((p + more_passed))
      f=$((f + more_failed))
    done <"$build/logs/$name.cases"
    cases=" ($p test cases passed, $f failed)"
  fi
  passed=$((passed + p))
  failed=$((failed + f))
  if [ "$status" -eq 0 ]; then
    passed=$((passed + 1))
    echo "ok, $((SECONDS - start)) s$cases"
  else
    failed=$((failed + 1))
    failed_stages+=("$name")
    echo "FAILED, $((SECONDS - start)) s$cases; the first errors and the end of $log:"
    sed -nE '/error:|ERROR:|undefined reference|multiple definition/s/^/   > /p' "$log" | sed 10q
    tail -n "${LOG_LINES:-25}" "$log" | sed 's/^/   | /'
  fi
}

# run_suites PRESET "SUITE...": runs every suite, even after one failed, as many at once as there are
# processors; fails if one did. Called within a stage.
run_suites() {
  local suite bad=0
  for suite in $2; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n || true; done
    run_suite "$1" "$suite" &
  done
  wait
  for suite in $2; do report_suite "$1" "$suite" || bad=1; done
  return "$bad"
}

# Leaves its output and its status beside the logs.
run_suite() {  # preset suite
  local output=$build/logs/${current_stage}_$2.log status=0
  timeout --kill-after=10 900 "$build/$1/tests/$2" >"$output" 2>&1 || status=$?
  echo "$status" >"$output.status"
}

report_suite() {  # preset suite
  local output=$build/logs/${current_stage}_$2.log status
  status=$(cat "$output.status")
  echo "== $1/$2"
  cat "$output"
  if [ "$status" -eq 0 ] && grep -aq '^\[doctest\] test cases:.* 0 passed.* 0 failed' "$output"; then
    echo "error: $2 has no test cases"
    status=1
  fi
  count_cases "$output" "$status"
  if [ "$status" -ne 0 ]; then echo "== $1/$2 failed with status $status"; fi
  return "$status"
}

# The summary of doctest: `[doctest] test cases: 12 | 11 passed | 1 failed | 0 skipped`. A suite that died
# has none.
count_cases() {
  local line numbers
  line=$(grep -a '^\[doctest\] test cases:' "$1" | tail -n 1 | sed 's/\x1b\[[0-9;]*m//g' || true)
  read -ra numbers <<<"$(tr -cs '0-9' ' ' <<<"$line")"
  if [ "${#numbers[@]}" -ge 3 ] && [ "${numbers[0]}" -gt 0 ]; then
    echo "${numbers[1]} ${numbers[2]}" >>"$build/logs/$current_stage.cases"
  elif [ "$2" -ne 0 ]; then
    echo "0 1" >>"$build/logs/$current_stage.cases"
  else
    echo "1 0" >>"$build/logs/$current_stage.cases"
  fi
}

finish() {
  if [ "${#failed_stages[@]}" -gt 0 ]; then echo "failed stages: ${failed_stages[*]}"; fi
  echo "total time: $((SECONDS / 60)) min $((SECONDS % 60)) s"
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
