"""What a config is, for `run.py --config=X --help`: docstring, variants, fields with comments.

The comments are those of the source of `config.py` and, where that has none, of the config's file.
"""

import ast
import io
import pathlib
import re
import textwrap
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from point_ft_jax.experiments import choices, config_files
from point_ft_jax.experiments import config as defaults

WIDTH, INDENT = 100, 46  # columns of the help, and where comments begin
# The functions of config.py that a job's config has its fields from.
SOURCES = {
    'finetune': ('default', 'own_clouds'),
    'compare': ('default', 'own_clouds'),
    'pretrain': ('default', 'own_clouds', 'pretraining'),
    'robust': ('default', 'judging', 'robust'),
}
JUDGING = ('default', 'own_clouds', 'judging')


def describe(argument: str, config: ConfigDict) -> str:
    """The help of a config.

    Args:
        argument: the value of --config, a file of configs/ with a variant perhaps.
        config: what it gives, changes of the command line included.
    """
    path = pathlib.Path(argument.split(':')[0]).expanduser()
    parts = [f'{argument}: {config_files.docstring(path) or "the config of a run"}']
    if names := variants(path):
        listed = textwrap.wrap(', '.join(names), WIDTH - 2)
        parts.append(f'Variants, --config={path}:NAME\n  ' + '\n  '.join(listed))
    known = {**comments(path), **field_comments(config.job)}
    parts.append('Fields; --config.FIELD=VALUE changes one\n' + '\n'.join(_fields(config, known)))
    parts.append(
        'What a config names can be another, and has options that are fields too:\n'
        + '\n'.join(_named(config))
        + f'\npoint-ft check_data {config.data.name} --help explains those of the data'
    )
    return '\n\n'.join(parts)


def _named(config: ConfigDict) -> Iterator[str]:
    """A line for each choice of the config: the names there are, and the options of its own."""
    for choice in choices.of(config):
        listed = ', '.join(choice.takes(choices.value(config, choice.name))) or 'none'
        field = f'--config.{choice.sections[0]}.'
        yield textwrap.fill(
            f'--config.{choice.name}=… ({choice.what}): {field}OPTION of {listed}',
            WIDTH,
            initial_indent='  ',
            subsequent_indent='      ',
            break_on_hyphens=False,
        )


def variants(path: pathlib.Path) -> list[str]:
    """The names that may follow the colon; the file is run for them."""
    if path.suffix != '.py':
        return []
    scope: dict[str, Any] = {'__name__': 'config', '__file__': str(path)}
    exec(compile(path.read_text(encoding='utf-8'), str(path), 'exec'), scope)
    return [name for name in scope.get('VARIANTS', ()) if name]


def field_comments(job: str) -> dict[str, str]:
    """{dotted name: comment} of the fields of a job's config, from the source of config.py."""
    found = comments(pathlib.Path(defaults.__file__), SOURCES.get(job, JUDGING))
    return {name: text for name, text in found.items() if name}


def comments(path: pathlib.Path, functions: tuple[str, ...] = ()) -> dict[str, str]:
    """{dotted name: comment} of what a file assigns to fields of `config`, or of `data`.

    A comment is that above an assignment or an entry of a dict, or that behind it, or both.
    `functions` are those that are read, in their order; () for all.
    """
    if path.suffix != '.py':
        return {}
    source = path.read_text(encoding='utf-8')
    above, behind = _comments(source)
    bodies = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)]
    if functions:
        bodies = [body for name in functions for body in bodies if body.name == name]
    found: dict[str, str] = {}
    for body in bodies:
        for name, first, last in _assigned(body):
            text = ' '.join(filter(None, [above.get(first), behind.get(last)]))
            if text:
                found[name] = text
    return found


def _comments(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """The comments above a line, joined, and those behind one, by the number of the line."""
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    lines = source.splitlines()
    alone, behind, above = {}, {}, {}
    for token in tokens:
        if token.type == tokenize.COMMENT:
            own = lines[token.start[0] - 1].lstrip().startswith('#')
            (alone if own else behind)[token.start[0]] = token.string.lstrip('# ').strip()
    for number in range(1, len(lines) + 1):
        if number not in alone:
            block, line = [], number - 1
            while line in alone:
                block.insert(0, alone[line])
                line -= 1
            if block:
                above[number] = ' '.join(block)
    return above, behind


def _assigned(function: ast.FunctionDef) -> Iterator[tuple[str, int, int]]:
    """The fields that a function assigns: dotted name, first line, line of a comment behind it."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        name = _dotted(node.targets[0])
        if name is not None:
            yield from _entries(name, node.value, node.lineno)


def _entries(name: str, value: ast.expr, line: int) -> Iterator[tuple[str, int, int]]:
    """A field and, of a section, the fields below it."""
    inner = value.args[0] if isinstance(value, ast.Call) and value.args else value
    if not isinstance(inner, ast.Dict):
        yield name, line, value.end_lineno
        return
    yield name, line, line
    if inner.lineno == inner.end_lineno:
        return  # what stands beside the line is of the section
    for key, item in zip(inner.keys, inner.values, strict=True):
        if isinstance(key, ast.Constant):
            yield from _entries(f'{name}.{key.value}', item, key.lineno)


def _dotted(target: ast.expr) -> str | None:
    """'train.epochs' of `config.train.epochs`; None for other targets."""
    names = []
    while isinstance(target, ast.Attribute):
        names.insert(0, target.attr)
        target = target.value
    if not isinstance(target, ast.Name) or target.id not in ('config', 'data'):
        return None
    if target.id == 'data':
        names.insert(0, 'data')
    return '.'.join(names) or None


def _fields(config: ConfigDict, known: Mapping[str, str], path: str = '') -> Iterator[str]:
    """A line for each field, sections after the fields beside them, comments in a column."""
    sections = []
    for name in config:
        value = config.get(name)
        if isinstance(value, ConfigDict):
            sections.append(name)
        else:
            yield _line(f'  {path}{name} = {value!r}', known.get(path + name, ''))
    for name in sections:
        yield ''
        yield _line(f'  {path}{name}', known.get(path + name, ''))
        yield from _fields(config[name], known, f'{path}{name}.')


def _line(field: str, comment: str) -> str:
    if not comment:
        return field
    wrapped = textwrap.wrap(re.sub(r'\s+', ' ', comment), WIDTH - INDENT)
    lines = [' ' * INDENT + line for line in wrapped]
    if len(field) + 2 <= INDENT:
        lines[0] = field.ljust(INDENT) + wrapped[0]
        return '\n'.join(lines)
    return '\n'.join([field, *lines])
