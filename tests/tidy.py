#!/usr/bin/env python3
"""Checks the tree for what the compiler does not: layering, sizes, format, habits.

    tests/tidy.py              checks the repository; prints file:line: message; exits 1 on a finding
    tests/tidy.py --self-test  proves on small bad inputs that every rule can fail

A function may be longer than the limit if a comment on it says why: // tidy: long-function <reason>
"""

import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True  # before the import: the checks leave nothing in the source tree
import tidy_functions  # noqa: E402

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70

# Exceptions that can't stand in the file itself: path -> reason.
LONG_FILES = {}

# An include goes to the same layer or to one with a smaller number. Two stand apart: sim sees what it drives,
# and check sees nothing of confman, since it judges it.
RANKS = {
    'core': 0, 'clock': 1, 'wire': 2, 'storage': 3, 'transport': 4, 'map': 5, 'partition': 6, 'runtime': 7,
    'options.hpp': 8, 'observer.hpp': 8, 'concepts.hpp': 8,
    'config_map.hpp': 9, 'cell.hpp': 9,
    'restore.hpp': 10,
    'confman.hpp': 11,
}
EVERYWHERE = {'config.hpp', 'error.hpp', 'mutants.hpp'}
SIM_SEES = {'core', 'clock', 'wire', 'storage', 'transport', 'map', 'partition', 'runtime',
            'options.hpp', 'observer.hpp', 'concepts.hpp', 'sim'}
STANDING_APART = {'sim': SIM_SEES, 'check': {'check'}}
CHECK_LIBRARIES = {'fmt', 'rapidjson', 'cereal'}
ASIO_LAYERS = {'transport', 'runtime', 'concepts.hpp', 'config_map.hpp', 'options.hpp'}

STANDARD_HEADERS = set('''
algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes
climits cmath codecvt compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef
cstdint cstdio cstdlib cstring ctime cuchar cwchar cwctype deque exception filesystem forward_list fstream
functional future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale map
memory memory_resource mutex new numbers numeric optional ostream queue random ratio regex scoped_allocator
semaphore set shared_mutex span sstream stack stdexcept stop_token streambuf string string_view strstream
syncstream system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility
valarray variant vector version
'''.split())

TEXT = ('.hpp', '.ipp', '.cpp', '.h', '.cmake', '.txt', '.sh', '.py', '.json', '.md', '.yml', '.in')
CPP = ('.hpp', '.ipp', '.cpp')
SKIPPED_DIRECTORIES = {'.git', 'build', '.cache', '__pycache__', 'third_party'}

# Split so that this file does not find itself.
PRIVATE_PATHS = re.compile(r'(?<![\w.$}/-])/wo' r'rk(?=[/\s"\'),.:]|$)|\.\./sha' r'red\b')
UNFINISHED = re.compile(r'\b(TO' r'DO|FIX' r'ME)\b')
SLEEPS = re.compile(r'\b(sleep_for|sleep_until|usleep|nanosleep|system_clock)\b')
MARKS = 'include/confman/core/marks.hpp'
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Report:
    def __init__(self):
        self.findings = []
        self.checks = 0

    def check(self, good, path, line, message):
        self.checks += 1
        if not good:
            self.findings.append(f'{path}:{line}: {message}')


def source_files(root):
    found = []
    for directory, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in SKIPPED_DIRECTORIES and not n.startswith('build'))
        for name in sorted(files):
            path = os.path.relpath(os.path.join(directory, name), root)
            if name.endswith(TEXT) or name.startswith('.clang-') or path == os.path.join('.ci', 'run'):
                found.append(path)
    return found


def layer_of(path):
    """The layer of a path below include/confman: a folder, a top-level header, or None for a shared one."""
    parts = path.split('/')
    if len(parts) == 1 or parts[0] == 'impl':
        stem = os.path.splitext(parts[-1])[0]
        # impl/config_map_members.hpp belongs to config_map.hpp.
        heads = [head for head in [*RANKS, *EVERYWHERE]
                 if head.endswith('.hpp') and stem.startswith(head[:-4])]
        name = max(heads, key=len) if heads and parts[0] == 'impl' else stem + '.hpp'
        return None if name in EVERYWHERE else name
    return parts[0]


def may_include(layer, target):
    if target is None or target == layer:
        return True
    if layer is None or target in STANDING_APART:
        return False
    if layer in STANDING_APART:
        return target in STANDING_APART[layer]
    return layer in RANKS and target in RANKS and RANKS[target] < RANKS[layer]


def check_confman_include(report, path, number, layer, target):
    target_layer = layer_of(target)
    report.check(may_include(layer, target_layer), path, number,
                 f'{layer or "a shared header"} may not include {target}: includes go down the layers only')


def check_foreign_include(report, path, number, layer, target):
    library = target.split('/')[0].removesuffix('.hpp')
    if layer == 'core' or layer is None:
        report.check(target in STANDARD_HEADERS, path, number,
                     f'{layer or "config and error"} may include only the standard library, not <{target}>')
    if layer == 'check':
        good = target in STANDARD_HEADERS or library in CHECK_LIBRARIES
        report.check(good, path, number,
                     f'check may include only the standard library, fmt and RapidJSON, not <{target}>')
    rapidjson = target.startswith('cereal/external/rapidjson/')
    if rapidjson or library == 'rapidjson':
        report.check(layer == 'check', path, number, 'only check/ may include RapidJSON')
    elif library == 'cereal':
        report.check(layer == 'wire', path, number, 'only wire/ may include cereal')
    if library == 'asio':
        report.check(layer in ASIO_LAYERS, path, number, f'{layer} may not include Asio: it does no I/O')
        report.check(not re.search(r'runtime/(impl/)?group', path), path, number,
                     'runtime/group may not include Asio: it does no I/O')


def check_marks(report, path, lines):
    """What is inline in a header is compiled into files with marks and into others without: docs/adr/0010."""
    if not path.startswith('include/') or path.startswith('include/confman/core/impl/') or path == MARKS:
        return
    for number, line in enumerate(lines, 1):
        report.check('CONFMAN_MARK(' not in line and 'CONFMAN_MARK_IF(' not in line, path, number,
                     'marks stand in core/impl/*.ipp only')


def check_includes(report, path, lines):
    prefix = 'include/confman/'
    if not path.startswith(prefix):
        return
    inside = path[len(prefix):]
    layer = layer_of(inside)
    if layer is not None:
        report.check(layer in RANKS or layer in STANDING_APART, path, 1,
                     f'{layer} is not a layer in tests/tidy.py')
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match.group(2)
        if target.startswith('confman/'):
            check_confman_include(report, path, number, layer, target[len('confman/'):])
        else:
            report.check(match.group(1) == '<', path, number,
                         f'"{target}": write confman/... in full, and <> for other libraries')
            check_foreign_include(report, path, number, layer, target)


def column_limit(root):
    try:
        match = re.search(r'^ColumnLimit:\s*(\d+)', read(root, '.clang-format'), re.MULTILINE)
    except FileNotFoundError:
        match = None
    return int(match.group(1)) if match else 110


def check_lines(report, path, lines, columns):
    is_test = path.startswith('tests/') and path.endswith(CPP)
    for number, line in enumerate(lines, 1):
        if not path.endswith('.md'):
            report.check(len(line) <= columns, path, number, f'{len(line)} columns; the limit is {columns}')
        report.check('\t' not in line, path, number, 'a tab')
        report.check(line == line.rstrip(), path, number, 'trailing whitespace')
        report.check(not PRIVATE_PATHS.search(line), path, number, 'names a path outside the repository')
        report.check(not UNFINISHED.search(line), path, number, 'unfinished business: do it or file an issue')
        if is_test and not path.startswith('tests/net/'):
            report.check(not SLEEPS.search(line), path, number, 'a test sleeps or reads the wall clock')


def check_functions(report, path, text):
    for function in tidy_functions.find_functions(text):
        good = function.lines <= MAX_FUNCTION_LINES or function.excused
        report.check(good, path, function.first_line,
                     f'function {function.name} has {function.lines} lines; '
                     f'the limit is {MAX_FUNCTION_LINES}')


def check_bodies_are_compiled(report, root, paths):
    """Each .ipp belongs to exactly one file in src/, or the compiled library lacks its bodies."""
    users = {}
    for path in paths:
        if path.startswith('src/') and path.endswith('.cpp'):
            for line in read(root, path).splitlines():
                match = INCLUDE.match(line)
                if match and match.group(2).endswith('.ipp'):
                    users.setdefault('include/' + match.group(2), []).append(path)
    for path in paths:
        if path.startswith('include/') and path.endswith('.ipp'):
            count = len(users.get(path, []))
            report.check(count == 1, path, 1, f'included by {count} files in src/, must be exactly one')


def check_format(report, root, paths):
    """clang-format's output changes between versions, so only the version of Debian 12 is asked."""
    tool = shutil.which('clang-format-14') or shutil.which('clang-format')
    version = 'none'
    if tool is not None:
        run = subprocess.run([tool, '--version'], capture_output=True, text=True, check=True)
        version = run.stdout.strip()
    good = re.search(r'version 14\.', version)
    report.check(good, '.clang-format', 1, f'format not checked: install clang-format-14 (found: {version})')
    if not good:
        return
    sources = [path for path in paths if path.endswith(CPP)]
    if not sources:
        return
    run = subprocess.run([tool, '--dry-run', *sources], cwd=root, capture_output=True, text=True, check=False)
    first = {}
    for path, line in re.findall(r'^(\S+?):(\d+):\d+: (?:warning|error):', run.stderr, re.MULTILINE):
        first.setdefault(path, line)
    for path in sources:
        report.check(path not in first, path, first.get(path, 1), 'not formatted: run clang-format -i')


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8', newline='') as file:
        return file.read()


def check_tree(root):
    report = Report()
    paths = source_files(root)
    columns = column_limit(root)
    for path in paths:
        try:
            text = read(root, path)
        except UnicodeDecodeError:
            report.check(False, path, 1, 'not UTF-8')
            continue
        lines = text.split('\n')
        report.check(text.endswith('\n') and not text.endswith('\n\n'), path, len(lines),
                     'a file ends with exactly one newline')
        stem = os.path.splitext(os.path.basename(path))[0]
        report.check(stem.lower() not in ('util', 'utils'), path, 1, 'name the file after what it does')
        count = len(lines) - 1
        if not path.endswith('.md'):
            report.check(count <= MAX_FILE_LINES or path in LONG_FILES, path, count,
                         f'{count} lines; the limit is {MAX_FILE_LINES}')
        check_lines(report, path, lines[:-1], columns)
        if path.endswith(('.hpp', '.ipp')):
            report.check('#pragma once' in lines, path, 1, '#pragma once is missing')
        if path.endswith(CPP):
            check_includes(report, path, lines)
            check_marks(report, path, lines)
            check_functions(report, path, text)
    check_bodies_are_compiled(report, root, paths)
    check_format(report, root, paths)
    return report, len(paths)


def main():
    if sys.argv[1:] == ['--self-test']:
        import tidy_self_test
        return tidy_self_test.run(check_tree)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    report, files = check_tree(root)
    for finding in report.findings:
        print(finding)
    print(f'tidy: {report.checks} checks over {files} files, {len(report.findings)} findings')
    return 1 if report.findings else 0


if __name__ == '__main__':
    sys.exit(main())
