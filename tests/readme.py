#!/usr/bin/env python3
"""Extracts the C++ blocks of README.md, so that none is shown that was not compiled; checks errors.md.

    tests/readme.py DIRECTORY

A block with a main() is written to DIRECTORY/snippet_N.cpp, to be compiled. Any other block must be a part of
a file that the build compiles, named in a comment before it: <!-- from: examples/quickstart.cpp -->
docs/guide/errors.md lists every errc, with its number and text as they are in the sources.
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
    failed += check_errors(root)
    print(f'README.md: {programs} programs, {quotes} quotes, {failed} findings')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
