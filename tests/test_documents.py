"""What the documents show runs as it stands, and what they name is there."""

import ast
import importlib
import json
import pathlib
import re
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
MOST_LINES = 25  # of code in the quickstart
TEST = re.compile(r'([\w/]+\.py)::(test_\w+)')
CONFIG = re.compile(r'configs/(\w+)\.py:([a-z]\w*)')
LINK = re.compile(r'\]\(([^)#:]+)(?:#[^)]*)?\)')


def code_cells() -> list[str]:
    """The code of the quickstart, a string for each cell."""
    cells = json.loads((ROOT / 'docs' / 'quickstart.ipynb').read_text())['cells']
    return [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']


def python_of_the_readme() -> str:
    """README's first Python block."""
    return re.search(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)[1]


def documents() -> dict[pathlib.Path, str]:
    """README and the pages of docs/, by their paths."""
    return {path: path.read_text() for path in (ROOT / 'README.md', *ROOT.glob('docs/*.md'))}


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


def test_the_configs_that_documents_name_have_these_variants() -> None:
    named = {name for text in documents().values() for name in CONFIG.findall(text)}
    assert len(named) > 20
    wrong = [
        f'{file}:{variant}'
        for file, variant in sorted(named)
        if variant not in importlib.import_module(f'configs.{file}').VARIANTS
    ]
    assert wrong == []


def test_files_that_documents_link_to_are_there() -> None:
    broken = [
        f'{path.name}: {target}'
        for path, text in documents().items()
        for target in LINK.findall(text)
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_quickstart_is_short() -> None:
    lines = [line for code in code_cells() for line in code.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES


@pytest.mark.slow
def test_the_quickstart_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    values = [run(code, scope) for code in code_cells()]
    plt.close('all')
    assert values[1] == (75, 768)
    scores, names = values[4]
    assert scores['overall_accuracy'] > 0.5
    assert len(names) == 3
    assert values[5] == ('full', np.True_)


@pytest.mark.slow
def test_the_lines_of_the_readme_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(python_of_the_readme(), {})
    printed = capsys.readouterr().out.splitlines()
    accuracy = float(re.search(r'overall_accuracy\D+([\d.]+)', printed[0])[1])
    assert accuracy > 0.5
    assert len(printed) == 2
