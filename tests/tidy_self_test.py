"""Each rule of tidy.py against a small input that breaks it, and inputs that must pass."""

import os
import tempfile

FUNCTION = '#pragma once\nint f(int a) {{\n{body}}}\n'
LONG_BODY = '  ++a;\n' * 80


def header(text):
    return '#pragma once\n' + text + '\n'


# (name, files, a part of the one expected message; None: no finding)
CASES = [
    ('clean header', {'include/confman/core/a.hpp': header('#include <vector>')}, None),
    ('up the layers', {'include/confman/storage/a.hpp': header('#include "confman/map/b.hpp"')},
     'storage may not include map/b.hpp'),
    ('down the layers', {'include/confman/map/a.hpp': header('#include "confman/core/b.hpp"')}, None),
    ('ipp counts as its folder',
     {'include/confman/core/impl/a.ipp': header('#include "confman/wire/b.hpp"'),
      'src/core.cpp': '#include "confman/core/impl/a.ipp"\n'},
     'core may not include wire/b.hpp'),
    ('core includes error', {'include/confman/core/a.hpp': header('#include "confman/error.hpp"')}, None),
    ('core includes posix', {'include/confman/core/a.hpp': header('#include <unistd.h>')},
     'core may include only the standard library'),
    ('a body counts as its header',
     {'include/confman/config_map.hpp': header('#include "confman/impl/config_map_members.hpp"'),
      'include/confman/impl/config_map_members.hpp': header('#include "confman/config_map.hpp"')}, None),
    ('nobody includes sim', {'include/confman/config_map.hpp': header('#include "confman/sim/world.hpp"')},
     'config_map.hpp may not include sim/world.hpp'),
    ('sim includes runtime',
     {'include/confman/sim/a.hpp': header('#include "confman/runtime/group.hpp"')}, None),
    ('sim includes the face', {'include/confman/sim/a.hpp': header('#include "confman/config_map.hpp"')},
     'sim may not include config_map.hpp'),
    ('check sees nothing of confman',
     {'include/confman/check/a.hpp': header('#include "confman/core/b.hpp"')},
     'check may not include core/b.hpp'),
    ('check includes error', {'include/confman/check/a.hpp': header('#include "confman/error.hpp"')}, None),
    ('nobody includes check', {'include/confman/sim/a.hpp': header('#include "confman/check/b.hpp"')},
     'sim may not include check/b.hpp'),
    ('check includes RapidJSON',
     {'include/confman/check/a.hpp': header('#include <rapidjson/document.h>\n#include <fmt/core.h>\n'
                                            '#include <cereal/external/rapidjson/document.h>')}, None),
    ('check includes posix', {'include/confman/check/a.hpp': header('#include <unistd.h>')},
     'check may include only the standard library, fmt and RapidJSON'),
    ('cereal in check', {'include/confman/check/a.hpp': header('#include <cereal/cereal.hpp>')},
     'only wire/ may include cereal'),
    ('RapidJSON outside check', {'include/confman/map/a.hpp': header('#include <rapidjson/document.h>')},
     'only check/ may include RapidJSON'),
    ('unknown layer', {'include/confman/stuff/a.hpp': header('')[:-1]}, 'stuff is not a layer'),
    ('error includes a layer', {'include/confman/error.hpp': header('#include "confman/core/a.hpp"')},
     'a shared header may not include'),
    ('cereal outside wire', {'include/confman/map/a.hpp': header('#include <cereal/cereal.hpp>')},
     'only wire/ may include cereal'),
    ('cereal in wire', {'include/confman/wire/a.hpp': header('#include <cereal/cereal.hpp>')}, None),
    ('Asio in storage', {'include/confman/storage/a.hpp': header('#include <asio/post.hpp>')},
     'storage may not include Asio'),
    ('Asio in the driver', {'include/confman/runtime/group.hpp': header('#include <asio.hpp>')},
     'runtime/group may not include Asio'),
    ('quoted foreign include', {'include/confman/map/a.hpp': header('#include "b.hpp"')}, 'in full'),
    ('long file', {'src/a.cpp': '// x\n' * 601}, '601 lines'),
    ('long function', {'src/a.cpp': FUNCTION.format(body=LONG_BODY)}, 'function f has 82 lines'),
    ('long function, excused',
     {'src/a.cpp': '// tidy: long-function a table of cases\n' + FUNCTION[13:].format(body=LONG_BODY)}, None),
    ('an excuse needs a reason',
     {'src/a.cpp': '// tidy: long-function\n' + FUNCTION[13:].format(body=LONG_BODY)},
     'function f has 82 lines'),
    ('long constructor', {'src/a.cpp': 'namespace n {\nclass c final : public b<int> {\n public:\n'
                                       '  c() noexcept : x_{1}, y_{2} {\n' + LONG_BODY + '  }\n};\n}\n'},
     'function c has 82 lines'),
    ('long lambda', {'src/a.cpp': 'auto f = [](int a) -> int {\n' + LONG_BODY + '};\n'}, 'has 82 lines'),
    ('long test case', {'tests/unit/a.cpp': 'TEST_CASE("a {") {\n' + LONG_BODY + '}\n'},
     'function TEST_CASE has 82 lines'),
    ('long constrained function',
     {'src/a.cpp': 'template <class T>\nint f(T a) requires foo<T> {\n' + LONG_BODY + '}\n'},
     'function f has 83 lines'),
    ('long class of short functions',
     {'src/a.cpp': 'struct s {\n' + '  int f() { return 1; }\n' * 90 + '};\n'}, None),
    ('long enum and table', {'src/a.cpp': 'enum class e : int {\n' + '  a,\n' * 90 + '};\nint t[] = {\n' +
                             '  1,\n' * 90 + '};\n'}, None),
    ('braces in literals',
     {'src/a.cpp': 'void f() { char a = \'{\'; auto b = "{"; int c = 1\'000; /* { */ }\n' +
                   '// x\n' * 90 + 'void g() {}\n'}, None),
    ('braces in macros', {'src/a.cpp': '#define OPEN {\n#if X\nvoid f() {\n#else\nvoid g() {\n#endif\n}\n' +
                          '// x\n' * 90}, None),
    ('long line', {'src/a.cpp': '// ' + 'x' * 110 + '\n'}, '113 columns'),
    ('tab', {'src/a.cpp': 'int\ta;\n'}, 'a tab'),
    ('trailing whitespace', {'src/a.cpp': '// x \n'}, 'trailing whitespace'),
    ('no pragma once', {'include/confman/core/a.hpp': 'int a();\n'}, '#pragma once is missing'),
    ('utils', {'src/utils.cpp': 'int a;\n'}, 'name the file after what it does'),
    ('a test sleeps', {'tests/unit/a.cpp': 'std::this_thread::sleep_for(x);\n'}, 'a test sleeps'),
    ('a test reads the wall clock',
     {'tests/sim/a.cpp': 'std::chrono::system_clock::now();\n'}, 'a test sleeps'),
    ('a network test sleeps', {'tests/net/a.cpp': 'std::this_thread::sleep_for(x);\n'}, None),
    ('private path', {'src/a.cpp': '// see /wo' 'rk/x\n'}, 'outside the repository'),
    ('shared path', {'src/a.cpp': '// see ../sha' 'red/x\n'}, 'outside the repository'),
    ('unfinished', {'src/a.cpp': '// TO' 'DO: x\n'}, 'unfinished business'),
    ('no newline at the end', {'src/a.cpp': 'int a;'}, 'exactly one newline'),
    ('body not compiled',
     {'include/confman/core/impl/a.ipp': header('int a();')}, 'included by 0 files in src/'),
]

FORMAT_CASES = [
    ('bad format', {'.clang-format': 'BasedOnStyle: Google\n', 'src/a.cpp': 'int  a ;\n'}, 'not formatted'),
    ('good format', {'.clang-format': 'BasedOnStyle: Google\n', 'src/a.cpp': 'int a;\n'}, None),
]


# (name, what stands in for clang-format; None: nothing does, a part of the expected message)
TOOL_CASES = [
    ('no clang-format', None, 'format not checked'),
    ('another clang-format', 'echo clang-format version 19.1.0', 'found: clang-format version 19.1.0'),
]


def run_tool_case(check_tree, script):
    before = os.environ['PATH']
    with tempfile.TemporaryDirectory() as tools:
        if script is not None:
            tool = os.path.join(tools, 'clang-format')
            with open(tool, 'w', encoding='utf-8') as file:
                file.write(f'#!/bin/sh\n{script}\n')
            os.chmod(tool, 0o755)
        os.environ['PATH'] = tools
        try:
            return run_case(check_tree, {'src/a.cpp': 'int a;\n'})
        finally:
            os.environ['PATH'] = before


def run_case(check_tree, files):
    with tempfile.TemporaryDirectory() as root:
        with_format = dict(files)
        with_format.setdefault('.clang-format', 'DisableFormat: true\nSortIncludes: Never\n')
        for path, text in with_format.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'w', encoding='utf-8') as file:
                file.write(text)
        return check_tree(root)[0].findings


def run(check_tree):
    failed = 0
    cases = [(name, expected, run_case(check_tree, files)) for name, files, expected in CASES + FORMAT_CASES]
    cases += [(name, expected, run_tool_case(check_tree, script)) for name, script, expected in TOOL_CASES]
    for name, expected, findings in cases:
        good = not findings if expected is None else len(findings) == 1 and expected in findings[0]
        if not good:
            failed += 1
            print(f'self-test: {name}: expected {expected!r}, got {findings}')
    print(f'tidy self-test: {len(cases) - failed} passed, {failed} failed')
    return 1 if failed else 0
