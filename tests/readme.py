#!/usr/bin/env python3
"""Extracts the C++ blocks of README.md and docs/guide/*.md, so that none is shown that was not compiled.

    tests/readme.py DIRECTORY

A block with a main() is written to DIRECTORY/NAME_N.cpp, to be compiled. In README.md any other block must be
a part of a file that the build compiles, named in a comment before it: <!-- from: examples/quickstart.cpp -->
In a guide it may also be the body of a function that has a `map` and `options` (all of those of one guide are
written to one file), or a sketch, if the comment before it says so: <!-- sketch -->
docs/guide/errors.md lists every errc, with its number and text as they are in the sources.
"""

import glob
import os
import re
import sys

BLOCK = re.compile(r'(?:<!--\s*(?:from:\s*(\S+)|(sketch))\s*-->\s*\n)?^```(?:cpp|c\+\+)\n(.*?)^```$',
                   re.MULTILINE | re.DOTALL)

BEFORE_BODIES = '''#include <confman/confman.hpp>

#include <asio.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <system_error>
'''


def normal(text):
    """Indentation and empty lines don't count: a snippet may be cut out of a function."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_part_of(part, whole):
    wanted, lines = normal(part), normal(whole)
    return any(lines[i:i + len(wanted)] == wanted for i in range(len(lines) - len(wanted) + 1))


def body(number, line, page, code):
    """A function nobody calls: that it compiles is what counts."""
    return (f'void body_{number}([[maybe_unused]] confman::config_map& map,\n'
            f'            [[maybe_unused]] confman::options& options) {{\n#line {line} "{page}"\n{code}}}\n')


class Page:
    def __init__(self, root, name, target):
        self.root, self.name, self.target = root, name, target
        self.stem = re.sub(r'\W', '_', os.path.splitext(os.path.basename(name))[0]).lower()
        self.programs = self.quotes = self.failed = 0
        self.bodies = []

    def write(self, text):
        self.programs += 1
        path = os.path.join(self.target, f'{self.stem}_{self.programs}.cpp')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)

    def finding(self, line, text):
        self.failed += 1
        print(f'{self.name}:{line}: {text}')

    def extract(self):
        guide = self.name != 'README.md'
        with open(os.path.join(self.root, self.name), encoding='utf-8') as file:
            page = file.read()
        for match in BLOCK.finditer(page):
            line = page.count('\n', 0, match.start(3)) + 1
            source, sketch, code = match.groups()
            if sketch and guide:
                continue
            if source:
                self.quotes += 1
                with open(os.path.join(self.root, source), encoding='utf-8') as file:
                    if not is_part_of(code, file.read()):
                        self.finding(line, f'this block is not (or no longer) a part of {source}')
            elif re.search(r'\bint main\(', code):
                self.write(f'#line {line} "{self.name}"\n{code}')
            elif guide:
                self.bodies.append(body(len(self.bodies), line, self.name, code))
            else:
                self.finding(line, 'neither a program nor marked with <!-- from: FILE -->: never compiled')
        if self.bodies:
            self.write(BEFORE_BODIES + '\n' + '\n'.join(self.bodies) + '\nint main() {}\n')
        if self.programs == 0 and not guide:
            self.finding(1, 'shows no program, a ```cpp block with int main(: nothing would be compiled')
        print(f'{self.name}: {self.programs} programs, {len(self.bodies)} bodies, {self.quotes} quotes, '
              f'{self.failed} findings')
        return self.failed


def errors_of(root):
    """(number, name, text) of every errc."""
    with open(os.path.join(root, 'include/confman/error.hpp'), encoding='utf-8') as file:
        enum = re.search(r'enum class errc \{(.*?)^\};', file.read(), re.MULTILINE | re.DOTALL).group(1)
    with open(os.path.join(root, 'include/confman/impl/error.ipp'), encoding='utf-8') as file:
        cases = re.findall(r'case errc::(\w+):\s*return ((?:"(?:[^"\\]|\\.)*"\s*)+);', file.read())
    texts = {name: ''.join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals)) for name, literals in cases}
    names = re.findall(r'^  (\w+)(?: = 1)?,', enum, re.MULTILINE)
    return [(str(number), name, texts.get(name)) for number, name in enumerate(names, 1)]


def check_errors(root):
    """How many rows of docs/guide/errors.md are missing, wrong or of an error that there isn't."""
    with open(os.path.join(root, 'docs/guide/errors.md'), encoding='utf-8') as file:
        rows = re.findall(r'^\| (\d+) \| `(\w+)` \|[^|]*\| (.*) \|$', file.read(), re.MULTILINE)
    wrong = set(rows) ^ set(errors_of(root))
    for number, name, text in sorted(wrong, key=str):
        print(f'docs/guide/errors.md: {number} {name}: not the same here and in the sources: {text}')
    return len(wrong)


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    target = sys.argv[1]
    os.makedirs(target, exist_ok=True)
    guides = sorted(glob.glob('docs/guide/*.md', root_dir=root))
    failed = sum(Page(root, name, target).extract() for name in ['README.md', *guides]) + check_errors(root)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
