"""The house's one-way dependencies, by the imports that the files state."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# room or file -> what it must not import
FORBIDDEN = {
    'kernels': ('point_ft_jax', 'flax', 'optax'),
    'point_ft_jax/layers.py': ('point_ft_jax.transformer', 'point_ft_jax.tokens'),
    'point_ft_jax/tokenizer.py': ('point_ft_jax.transformer', 'point_ft_jax.backbones'),
    'point_ft_jax/transformer.py': ('point_ft_jax.backbones', 'point_ft_jax.methods'),
    'point_ft_jax/methods': ('point_ft_jax.backbones', 'point_ft_jax.model', 'ml_collections'),
    'point_ft_jax/backbones': ('point_ft_jax.methods', 'point_ft_jax.model', 'ml_collections'),
    'point_ft_jax/data': ('point_ft_jax.model', 'flax', 'ml_collections'),
    'point_ft_jax/pretrain': ('point_ft_jax.pipeline', 'point_ft_jax.builder', 'ml_collections'),
    'point_ft_jax/params.py': ('point_ft_jax.model', 'point_ft_jax.backbones', 'flax.linen'),
    'point_ft_jax/checkpoint.py': ('point_ft_jax.model', 'point_ft_jax.train', 'ml_collections'),
    'point_ft_jax/optimizer.py': ('point_ft_jax.model', 'point_ft_jax.train', 'ml_collections'),
    'point_ft_jax/train.py': ('point_ft_jax.model', 'point_ft_jax.pipeline', 'ml_collections'),
    'point_ft_jax/fit.py': ('point_ft_jax.model', 'point_ft_jax.pipeline', 'ml_collections'),
    'point_ft_jax/weight_space.py': ('point_ft_jax.model', 'flax', 'ml_collections'),
    'point_ft_jax/corruptions': ('point_ft_jax.model', 'flax', 'ml_collections'),
    'point_ft_jax/protocols': ('point_ft_jax.model', 'point_ft_jax.pipeline', 'ml_collections'),
    'point_ft_jax/wise.py': ('point_ft_jax.builder', 'point_ft_jax.pipeline', 'ml_collections'),
    'point_ft_jax/wise_report.py': ('jax', 'flax', 'point_ft_jax.model'),
    'point_ft_jax/report.py': ('jax', 'flax', 'point_ft_jax.model'),
    'point_ft_jax/metrics.py': ('jax', 'flax', 'point_ft_jax.model'),
}


def imported(path: pathlib.Path) -> set[str]:
    """The modules that a file's import statements name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f'{node.module}.{alias.name}' for alias in node.names}
    return found


@pytest.mark.parametrize('room', FORBIDDEN)
def test_dependencies_go_one_way(room: str) -> None:
    path = ROOT / room
    files = [path] if path.is_file() else sorted(path.glob('*.py'))
    assert files
    wrong = [
        f'{file.name} imports {module}'
        for file in files
        for module in imported(file)
        for forbidden in FORBIDDEN[room]
        if module == forbidden or module.startswith(f'{forbidden}.')
    ]
    assert wrong == []


def test_run_is_a_page() -> None:
    assert len((ROOT / 'run.py').read_text().splitlines()) <= 50


def test_no_file_is_too_long_to_have_one_noun() -> None:
    files = [p for folder in ('point_ft_jax', 'kernels') for p in (ROOT / folder).rglob('*.py')]
    long = {p.name: n for p in files if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}
