#!/usr/bin/env python3
"""Runs the mutants of include/confman/mutants.hpp in the simulation until they are noticed: mutants.sh."""
import argparse
import concurrent.futures
import math
import os
import re
import statistics
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TABLE = os.path.join(ROOT, 'include/confman/mutants.hpp')
RESULTS = os.path.join(ROOT, 'docs/guide/mutants.md')
ROW = re.compile(r'^ *M\((\w+), "([^"]*)", "([^"]*)"\)', re.MULTILINE)
FAILED = re.compile(r'^FAILED seed (\d+)', re.MULTILINE)
INVARIANT = re.compile(r'^seed \d+: invariant (\d+) \(([^)]*)\)', re.MULTILINE)
ASSERTION = re.compile(r"^confman: broken invariant '(.*)' at ", re.MULTILINE)
STRIDE = 100000  # between the first seeds
CLEAN_SEEDS = 100  # of each start, without a mutant
SMOKE_FAST = 15  # what has fallen within so many, from each of the first seeds, is fast ...
SMOKE_SEEDS = 60  # ... and must fall within so many
SMOKE_SECONDS = 60
SMOKE_PART = 0.75  # of those that --smoke chooses must have been run when its time is over
FIRST_PIECE = 4  # seeds
# The program itself ends a seed after 60 s of processor time (tests/sim/main.cpp) and says which it was:
# nobody else must end it before that.
HANG = 70


class Mutant:
    def __init__(self, name, falls, what):
        self.name = name
        self.falls = falls.split()
        self.what = what


class Run:
    """One mutant from one start: `caught` is the seed, or None; `by` an invariant's number, A or a signal."""

    def __init__(self, first, caught, by, name):
        self.first = first
        self.caught = caught
        self.by = by
        self.name = name

    def seeds(self):
        return self.caught - self.first + 1


def read_table(path):
    with open(path, encoding='utf-8') as file:
        mutants = [Mutant(*row) for row in ROW.findall(file.read())]
    if len(mutants) < 2:
        sys.exit(f'error: {path} has no table of mutants')
    return mutants


def simulate(binary, mutant, first, seeds, seconds):
    """Output over `seeds` seeds, the status, and the processor time that it took. What takes more of that
    than `seconds` and HANG is ended."""
    environment = dict(os.environ, CONFMAN_MUTANT=mutant)
    most = math.ceil(seconds) + HANG
    command = ['sh', '-c', 'ulimit -t "$0"; exec "$@"', str(most),
               binary, '--seeds', str(seeds), '--first', str(first), '--jobs', '1']
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          encoding='utf-8', errors='replace', start_new_session=True) as process:
        # One that waits takes no processor time. With the process that runs the seeds.
        stuck = threading.Timer(30 + 20 * most, os.killpg, (process.pid, 9))
        stuck.start()
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        stuck.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        return output, process.returncode, used.ru_utime + used.ru_stime


def simulate_until(binary, mutant, first, seeds, seconds):
    """The same over as many seeds as `seconds` are enough for, in pieces of what fits into half of the time
    that is left: none is ended within a seed, where nobody would know whether that seed has no end."""
    done, used = 0, 0.0
    while True:
        fits = FIRST_PIECE if done == 0 else int(done / max(used, 0.001) * (seconds - used) / 2)
        piece = min(seeds - done, max(1, fits))
        output, status, more = simulate(binary, mutant, first + done, piece, seconds)
        done, used = done + piece, used + more
        if status != 0 or done >= seeds or used >= seconds:
            return output, status


def hunt(binary, mutant, first, options):
    output, status = simulate_until(binary, mutant.name, first, options.seeds, options.seconds)
    failed = FAILED.search(output)
    if not failed:
        if status == 2:
            sys.exit(f'error: {binary} does not take the mutant {mutant.name}: {output.strip()}')
        return Run(first, None, '', '')
    invariant = INVARIANT.search(output)
    if invariant:
        return Run(first, int(failed.group(1)), invariant.group(1), invariant.group(2))
    if ASSERTION.search(output):
        return Run(first, int(failed.group(1)), 'A', 'assertion')
    end = output[failed.end():].lstrip(': ').split('\n')[0]
    return Run(first, int(failed.group(1)), end, end)


def hunt_all(binary, mutant, options):
    runs = []
    for first in options.firsts:
        runs.append(hunt(binary, mutant, first, options))
        if runs[-1].caught is None:
            break  # it survives, however the others end
    return runs


def survived(runs):
    return any(run.caught is None for run in runs)


def cells(mutant, runs):
    """Median and worst number of seeds, and the invariants that fell; * marks one the table doesn't name."""
    caught = [run for run in runs if run.caught is not None]
    by = {}
    for run in caught:
        by[run.by] = by.get(run.by, 0) + 1
    names = {run.by: run.name for run in caught}
    order = sorted(by, key=lambda b: -by[b])
    fell = ', '.join((f'{b} ' if b != names[b] and b != 'A' else '') + names[b] +
                     ('' if b in mutant.falls else ' *') for b in order)
    if survived(runs):
        return '-', '-', f'SURVIVED start {runs[-1].first}' + (f' (fell: {fell})' if fell else '')
    seeds = [run.seeds() for run in caught]
    return f'{statistics.median(seeds):g}', str(max(seeds)), fell


def check_clean(binary, ranges, what):
    for first, seeds in ranges:
        output, status, _ = simulate(binary, '', first, seeds, 600)
        if status != 0 or FAILED.search(output):
            sys.exit(f'{output}\nerror: without a mutant {what} from {first} on must pass')


def fast_ones(mutants):
    """Those whose worst case in the results on file is a few seeds."""
    with open(RESULTS, encoding='utf-8') as file:
        rows = re.findall(r'^\| `(\w+)` \| [^|]* \| [\d.]+ \| (\d+) \|', file.read(), re.MULTILINE)
    worst = {name: int(seeds) for name, seeds in rows}
    return [m for m in mutants if worst.get(m.name, SMOKE_FAST + 1) <= SMOKE_FAST]


def write_table(path, rows):
    lines = ['| mutant | what it does wrong | seeds, median | worst | what fell |', '|---|---|---|---|---|']
    lines += [f'| `{m.name}` | {m.what} | {" | ".join(cells(m, runs))} |' for m, runs in rows]
    with open(path, 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines) + '\n')


def choose(mutants, options):
    names = [m.name for m in mutants]
    for name in options.mutant:
        if name not in names:
            sys.exit(f'error: there is no mutant {name}; --list names them')
    if options.mutant:
        return [m for m in mutants if m.name in options.mutant]
    if not options.smoke:
        return mutants
    chosen = fast_ones(mutants)
    left_out = [m.name for m in mutants if m not in chosen]
    if left_out:
        print(f'left out, since they took more than {SMOKE_FAST} seeds: {", ".join(left_out)}')
    return chosen


def parse():
    parser = argparse.ArgumentParser(prog='tests/mutants.sh', usage='tests/mutants.sh [options]; see --help')
    parser.add_argument('binary')
    parser.add_argument('--mutant', action='append', default=[])
    parser.add_argument('--starts', type=int, default=5)
    parser.add_argument('--seeds', type=int, default=50000)
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--smoke', action='store_true')
    parser.add_argument('--write', default='')
    parser.add_argument('--list', action='store_true')
    options = parser.parse_args()
    if options.smoke:
        options.starts = 1
        options.seeds = SMOKE_SEEDS
    if options.starts < 1 or options.seeds < 1 or options.jobs < 1:
        parser.error('--starts, --seeds and --jobs take a number above 0')
    options.firsts = [1 + i * STRIDE for i in range(options.starts)]
    return options


def run_mutants(chosen, options, begin):
    """Rows (mutant, runs) in the order of the table; for --smoke as many as there is time for."""
    rows = []
    print(f'{"mutant":<30} {"median":>7} {"worst":>7}  what fell', flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        def one(mutant):
            if options.smoke and time.monotonic() - begin > SMOKE_SECONDS - 10:
                return None
            return hunt_all(options.binary, mutant, options)
        for mutant, runs in zip(chosen, pool.map(one, chosen)):
            if runs is None:
                print(f'{mutant.name:<30} left out: no time', flush=True)
                continue
            median, worst, fell = cells(mutant, runs)
            print(f'{mutant.name:<30} {median:>7} {worst:>7}  {fell}', flush=True)
            rows.append((mutant, runs))
    return rows


def main():
    options = parse()
    begin = time.monotonic()
    mutants = read_table(TABLE)
    if options.list:
        for mutant in mutants:
            print(f'{mutant.name:<30} {mutant.what}')
        return 0
    chosen = choose(mutants, options)
    clean = min(options.seeds, CLEAN_SEEDS)
    check_clean(options.binary, [(first, clean) for first in options.firsts], f'{clean} seeds')
    print(f'without a mutant {clean} seeds from each of {options.starts} pass', flush=True)
    rows = run_mutants(chosen, options, begin)
    if not options.smoke:
        caught = sorted({run.caught for _, runs in rows for run in runs if run.caught is not None})
        check_clean(options.binary, [(seed, 1) for seed in caught], 'the seed')
        print(f'without a mutant each of the {len(caught)} seeds that killed one passes')
    if options.write:
        write_table(options.write, rows)
    killed = sum(1 for _, runs in rows if not survived(runs))
    print(f'{time.monotonic() - begin:.0f} s; * marks what the table of mutants does not expect')
    enough = len(rows) >= (SMOKE_PART if options.smoke else 1) * len(chosen)
    print(f'{len(rows)} of {len(chosen)} ran' + ('' if enough else f', too few in {SMOKE_SECONDS} s'))
    print(f'{killed} killed of {len(rows)}')
    return 0 if rows and enough and killed == len(rows) else 1


if __name__ == '__main__':
    sys.exit(main())
