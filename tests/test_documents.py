"""What the documents show runs as it stands, and what they name is there."""

import ast
import functools
import importlib
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from ml_collections import ConfigDict

ROOT = pathlib.Path(__file__).parents[1]
MOST_LINES = 25  # of code in the quickstart
TEST = re.compile(r'([\w/]+\.py)::(test_\w+)')
CONFIG = re.compile(r'configs/(\w+)\.py:([a-z]\w*)')
COMMAND = re.compile(r'point-ft (\w+)((?:\\\n|[^`\n])*)')
RUN = re.compile(r'--config=configs/(\w+)\.py(?::(\w+))?((?:\\\n|[^`\n])*)')
MESSAGE = re.compile(r'```text\n(.*?)```', re.DOTALL)
NOT_OURS = ('RESOURCE_EXHAUSTED: Out of memory',)  # messages of jax that the page explains
LEAST_LITERAL = 8  # characters of a message's template, without which it fits anything
LINK = re.compile(r'\]\(([^)#:]+)(?:#[^)]*)?\)')


NOTEBOOKS = sorted(ROOT.glob('docs/**/*.ipynb'))
TUTORIALS = [path for path in NOTEBOOKS if path.parent.name == 'tutorials']


def cells(path: pathlib.Path, kind: str) -> list[dict[str, Any]]:
    """A notebook's cells of a kind, 'code' or 'markdown'."""
    return [c for c in json.loads(path.read_text())['cells'] if c['cell_type'] == kind]


def source(cell: dict[str, Any]) -> str:
    return ''.join(cell['source'])


def code_cells(path: pathlib.Path = ROOT / 'docs' / 'quickstart.ipynb') -> list[str]:
    """The code of a notebook, of the quickstart by default, a string for each cell."""
    return [source(cell) for cell in cells(path, 'code')]


def first_python(name: str) -> str:
    """A page's first Python block."""
    return re.search(r'```python\n(.*?)```', (ROOT / name).read_text(), re.DOTALL)[1]


def documents() -> dict[pathlib.Path, str]:
    """README, the pages of docs/ and the text of its notebooks, by their paths."""
    pages = {path: path.read_text() for path in (ROOT / 'README.md', *ROOT.glob('docs/**/*.md'))}
    texts = {path: '\n'.join(map(source, cells(path, 'markdown'))) for path in NOTEBOOKS}
    return pages | texts


def run(code: str, scope: dict[str, Any]) -> Any:
    """The value of the last expression, as a notebook shows it."""
    tree = ast.parse(code)
    last = tree.body.pop()
    exec(compile(tree, 'cell', 'exec'), scope)
    if not isinstance(last, ast.Expr):
        exec(compile(ast.Module([last], []), 'cell', 'exec'), scope)
        return None
    return eval(compile(ast.Expression(last.value), 'cell', 'eval'), scope)


def test_the_tests_that_documents_name_are_there() -> None:
    named = {name for text in documents().values() for name in TEST.findall(text)}
    assert len(named) > 50
    missing = [
        f'{file}::{test}'
        for file, test in sorted(named)
        if f'def {test}(' not in (ROOT / 'tests' / file).read_text()
    ]
    assert missing == []


def test_the_files_of_tests_that_documents_run_are_there() -> None:
    run = {p for text in documents().values() for p in re.findall(r'\btests/[\w/]+\.py', text)}
    assert run
    assert [path for path in sorted(run) if not (ROOT / path).exists()] == []


def test_the_configs_that_documents_name_have_these_variants() -> None:
    named = {name for text in documents().values() for name in CONFIG.findall(text)}
    assert len(named) > 20
    wrong = [
        f'{file}:{variant}'
        for file, variant in sorted(named)
        if variant not in importlib.import_module(f'configs.{file}').VARIANTS
    ]
    assert wrong == []


def test_the_configs_that_documents_run_have_the_fields_that_they_set() -> None:
    commands = {found.groups() for text in documents().values() for found in RUN.finditer(text)}
    assert len(commands) > 40
    wrong = [
        f'{file}:{variant or ""} has no {field}'
        for file, variant, rest in sorted(commands, key=str)
        for field in re.findall(r'--config\.([\w.]+)=', rest)
        if field not in fields(file, variant)
    ]
    assert wrong == []


@functools.cache
def fields(file: str, variant: str | None) -> frozenset[str]:
    """The dotted names of a config's fields, sections included."""
    module = importlib.import_module(f'configs.{file}')
    config = module.get_config(variant) if variant else module.get_config()

    def names(section: ConfigDict, above: str) -> Iterator[str]:
        for name in section:
            yield above + name
            if isinstance(value := section.get_ref(name).get(), ConfigDict):
                yield from names(value, f'{above}{name}.')

    return frozenset(names(config, ''))


def test_the_commands_that_documents_show_have_these_flags() -> None:
    shown = {found.groups() for text in documents().values() for found in COMMAND.finditer(text)}
    shown = {(name, rest) for name, rest in shown if name.islower() and name != 'list'}
    assert len(shown) > 20
    wrong = [
        f'point-ft {name} has no --{flag}'
        for name, rest in sorted(shown)
        for flag in re.findall(r'(?<!\S)--([\w-]+)', rest)
        if flag not in flags(name)
    ]
    assert wrong == []


def flags(command: str) -> set[str]:
    """The flags of a command: those that its file names; of check_data, options of data sets."""
    folder = ROOT / 'point_ft_jax'
    files = [folder / 'commands' / f'{command}.py']
    if command == 'check_data':
        files += folder.glob('data/datasets/[a-z]*.py')
        return set(re.findall(r'(\w+): ', '\n'.join(path.read_text() for path in files)))
    text = files[0].read_text()
    named = re.findall(r"'--([\w-]+)'", text)
    return {*named, *re.findall(r"DEFINE_\w+\(\s*'(\w+)'", text), 'help'}


def test_the_messages_that_documents_explain_are_those_of_the_source() -> None:
    [page] = [text for path, text in documents().items() if path.name == 'errors.md']
    lines = [
        line.removeprefix('  - ')
        for block in MESSAGE.findall(page)
        for line in block.splitlines()
        if line not in NOT_OURS
    ]
    assert len(lines) >= 20
    known = templates()
    unknown = [
        line
        for line in lines
        if not any(t.fullmatch(text) for t in known for text in (line, line.partition(': ')[2]))
    ]
    assert unknown == []


def templates() -> list[re.Pattern]:
    """The texts of the package, a line each, with anything where a value is put in."""
    found = set()
    for path in ROOT.glob('point_ft_jax/**/*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                pieces = [v.value if isinstance(v, ast.Constant) else None for v in node.values]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                pieces = [node.value]
            else:
                continue
            found |= set(as_patterns(pieces))
    return [re.compile(pattern) for pattern in found]


def as_patterns(pieces: list[str | None]) -> Iterator[str]:
    """The lines of a text as patterns; None stands for anything."""
    text = ''.join('\0' if piece is None else piece for piece in pieces)
    for line in text.splitlines():
        line = line.removeprefix('  - ')
        if len(line.replace('\0', '').strip()) >= LEAST_LITERAL:
            yield '.*'.join(map(re.escape, line.split('\0')))


def test_files_that_documents_link_to_are_there() -> None:
    broken = [
        f'{path.name}: {target}'
        for path, text in documents().items()
        for target in LINK.findall(text)
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_start_page_shows_the_lines_of_the_readme() -> None:
    assert first_python('docs/index.md') == first_python('README.md')


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_as_they_ran(path: pathlib.Path) -> None:
    stored = cells(path, 'code')
    assert [cell['execution_count'] for cell in stored] == list(range(1, len(stored) + 1))
    outputs = [output for cell in stored for output in cell['outputs']]
    assert len(outputs) >= 3
    assert not any(output['output_type'] == 'error' for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize('path', TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(
    path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any exception of a cell fails it."""
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    for code in code_cells(path):
        run(code, scope)
    plt.close('all')
    assert scope


def test_the_quickstart_is_short() -> None:
    lines = [line for code in code_cells() for line in code.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES


@pytest.mark.slow
def test_the_quickstart_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    values = [run(code, scope) for code in code_cells()]
    plt.close('all')
    assert values[1] == (75, 384)
    scores, names = values[4]
    assert scores['overall_accuracy'] > 0.5
    assert len(names) == 3
    assert values[5] == ('full', np.True_)


@pytest.mark.slow
def test_the_lines_of_the_readme_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(first_python('README.md'), {})
    printed = capsys.readouterr().out.splitlines()
    accuracy = float(re.search(r'overall_accuracy\D+([\d.]+)', printed[0])[1])
    assert accuracy > 0.5
    assert len(printed) == 2
