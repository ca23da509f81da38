"""Finds the functions of a C++ file and their lengths, by brace matching. A heuristic, not a parser: it
knows namespaces, classes, enums, initialisers, constructors with member lists, lambdas and operators."""

import re
from dataclasses import dataclass

EXCUSE = re.compile(r'//\s*tidy: long-function\s+\S+')
TYPE_HEAD = re.compile(r'\b(class|struct|union|enum)\b')
QUALIFIERS = {'const', 'noexcept', 'override', 'final', 'mutable', 'try', '&', '&&'}


@dataclass
class Function:
    name: str
    first_line: int
    lines: int
    excused: bool


def blank(text):
    return re.sub(r'[^\n]', ' ', text)


# Comments, strings and characters: what must not be searched for braces. A ' between digits is a separator.
LITERALS = re.compile(
    r'//(?:[^\n\\]|\\.|\\\n)*'
    r'|/\*.*?\*/'
    r'|R"([^(\s"\\]{0,16})\(.*?\)\1"'
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|(?<![0-9a-fA-F])'(?:[^'\\\n]|\\[^\n]*?)'",
    re.DOTALL)


def strip(text):
    """The text with comments, literals and preprocessor lines blanked; of #if/#else the first stays."""
    text = LITERALS.sub(lambda match: blank(match.group(0)), text)
    out, skipping, continued = [], [], False
    for line in text.split('\n'):
        directive = re.match(r'\s*#\s*(\w+)', line)
        if continued or directive:
            if directive and not continued:
                word = directive.group(1)
                if word in ('if', 'ifdef', 'ifndef'):
                    skipping.append(False)
                elif word in ('else', 'elif') and skipping:
                    skipping[-1] = True
                elif word == 'endif' and skipping:
                    skipping.pop()
            continued = line.endswith('\\')
            out.append(blank(line))
        else:
            out.append(blank(line) if any(skipping) else line)
    return '\n'.join(out)


def classify(head):
    """What the brace after this text opens: scope (namespace or type), function, or init(ialiser)."""
    head = re.sub(r'\[\[.*?\]\]|\balignas\s*\([^)]*\)', ' ', head, flags=re.DOTALL).strip()
    if not head:
        return 'function'  # a block on its own can only stand where a function is; callers are inside one
    if re.match(r'(inline\s+)?namespace\b', head) or re.match(r'extern\s*$', head):
        return 'scope'
    without_template = re.sub(r'^(\s*template\s*<[^{}]*?>\s*(?=[a-z:]))+', '', head)
    if TYPE_HEAD.match(without_template.strip()) and '(' not in without_template:
        return 'scope'
    last = head.rsplit(None, 1)[-1]
    if re.match(r'(template\s*<.*>\s*)?concept\b', head, re.DOTALL):
        return 'init'
    if head.endswith((')', ']')) or last in QUALIFIERS:
        return 'function'
    after_parameters = head[head.rfind(')') + 1:] if ')' in head else ''
    if re.search(r'->|\brequires\b', after_parameters):
        return 'function'
    if TYPE_HEAD.search(re.sub(r'<[^<>]*>', ' ', without_template)) and '(' not in without_template:
        return 'scope'
    if re.search(r'\)\s*requires\b', head):
        return 'function'
    # The end of a member initialiser list: `: a_(1), b_{2} {` has lost its braces by now.
    if '\x00' in head[-2:] and re.search(r'\)\s*(noexcept\s*)?:', head):
        return 'function'
    return 'init'


def name_of(head):
    quoted = re.search(r'\b([A-Z_]{4,})\s*\(', head)
    if quoted:
        return quoted.group(1)
    match = re.search(r'((?:[\w~]+::)*(?:operator\s*[^\s(]+|[\w~]+))\s*\(', head)
    return match.group(1) if match else '(lambda)'


def find_functions(text):
    """The outermost functions, in order. What is nested inside one counts towards it."""
    code = strip(text)
    raw_lines = text.split('\n')
    found, stack = [], []
    head, head_line, line = '', None, 1
    for char in code:
        if char == '\n':
            line += 1
        inside = any(entry[0] == 'function' for entry in stack)
        if char == '{':
            kind = 'inner' if inside else classify(head)
            stack.append((kind, head, head_line or line))
            if kind != 'init':
                head, head_line = '', None
        elif char == '}':
            kind, opened_head, opened_line = stack.pop() if stack else ('inner', '', line)
            if kind == 'function':
                near = raw_lines[max(0, opened_line - 4):opened_line + opened_head.count('\n') + 2]
                found.append(Function(name_of(opened_head), opened_line, line - opened_line + 1,
                                      any(EXCUSE.search(comment) for comment in near)))
            if kind == 'init':
                head += '\x00'  # the initialiser is part of what is being read
            else:
                head, head_line = '', None
        elif char == ';' and not (stack and stack[-1][0] == 'init'):
            head, head_line = '', None
        elif char == ':' and head.strip() in ('public', 'private', 'protected'):
            head, head_line = '', None
        elif not inside:
            if head_line is None and not char.isspace():
                head_line = line
            head += char
    return found
