#!/usr/bin/env python3
"""Extracts the C++ blocks of README.md, so that none is shown that was not compiled.

    tests/readme.py DIRECTORY

A block with a main() is written to DIRECTORY/snippet_N.cpp, to be compiled. Any other block must be a part of
a file that the build compiles, named in a comment before it: <!-- from: examples/quickstart.cpp -->
"""

import os
import re
import sys

BLOCK = re.compile(r'(?:<!--\s*from:\s*(\S+)\s*-->\s*\n)?^```(?:cpp|c\+\+)\n(.*?)^```$',
                   re.MULTILINE | re.DOTALL)


def normal(text):
    """Indentation and empty lines don't count: a snippet may be cut out of a function."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_part_of(part, whole):
    wanted, lines = normal(part), normal(whole)
    return any(lines[i:i + len(wanted)] == wanted for i in range(len(lines) - len(wanted) + 1))


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    target = sys.argv[1]
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(root, 'README.md'), encoding='utf-8') as file:
        readme = file.read()
    failed = programs = quotes = 0
    for match in BLOCK.finditer(readme):
        line = readme.count('\n', 0, match.start(2)) + 1
        source, code = match.groups()
        if source:
            quotes += 1
            with open(os.path.join(root, source), encoding='utf-8') as file:
                if not is_part_of(code, file.read()):
                    failed += 1
                    print(f'README.md:{line}: this block is not (or no longer) a part of {source}')
        elif re.search(r'\bint main\(', code):
            programs += 1
            with open(os.path.join(target, f'snippet_{programs}.cpp'), 'w', encoding='utf-8') as file:
                file.write(f'#line {line} "README.md"\n{code}')
        else:
            failed += 1
            print(f'README.md:{line}: neither a program nor marked with <!-- from: FILE -->: never compiled')
    if programs == 0:
        failed += 1
        print('README.md: shows no program, a ```cpp block with int main(: nothing would be compiled')
    print(f'README.md: {programs} programs, {quotes} quotes, {failed} findings')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
