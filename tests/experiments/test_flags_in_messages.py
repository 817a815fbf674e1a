"""Every flag that a message, a help text or a docstring names is one that there is."""

import ast
import importlib
import inspect
import pathlib
import re
from collections.abc import Iterator

from ml_collections import ConfigDict

from point_ft_jax.core import plugins
from point_ft_jax.experiments import config as defaults

ROOT = pathlib.Path(__file__).parents[2]
FILES = [*(ROOT / 'point_ft_jax').rglob('*.py'), *(ROOT / 'configs').glob('*.py'), ROOT / 'run.py']
FLAG = re.compile(r'(?<![\w-])--([a-z][\w-]*(?:\.\w+)*)')
# Of other programs, and what stands for a name.
FOREIGN = {'help', 'helpshort', 'helpfull', 'config', 'config.FIELD', 'no-deps'}


def texts(path: pathlib.Path) -> Iterator[str]:
    """The string constants of a file; the parts of an f-string, joined by a blank."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def defined() -> set[str]:
    """The flags of all commands, by their names; `compile` is the kernels' own."""
    found = set()
    for path in (*FILES, *(ROOT / 'kernels').glob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            first = (
                node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else 0
            )
            if node.func.attr == 'add_argument' and str(first).startswith('--'):
                found.add(first[2:])
            if node.func.attr.startswith('DEFINE_'):
                found.add(first)
    for name in plugins.available('datasets'):
        load = plugins.load('datasets', name).load
        found |= set(inspect.signature(load).parameters)  # of check_data
    return found


def fields(config: ConfigDict, prefix: str = 'config') -> set[str]:
    found = set()
    for name, value in config.items():
        found.add(f'{prefix}.{name}')
        if isinstance(value, ConfigDict):
            found |= fields(value, f'{prefix}.{name}')
    return found


def in_configs() -> set[str]:
    """The fields of all configs, of every variant."""
    found = fields(defaults.default()) | fields(defaults.pretraining()) | fields(defaults.robust())
    for path in (ROOT / 'configs').glob('*.py'):
        module = importlib.import_module(f'configs.{path.stem}')
        for variant in getattr(module, 'VARIANTS', ('',)):
            found |= fields(module.get_config(variant))
    return found


def test_every_flag_that_is_named_exists() -> None:
    known = defined() | in_configs() | FOREIGN
    unknown = {
        f'{path.relative_to(ROOT)}: --{flag}'
        for path in FILES
        for text in texts(path)
        for flag in FLAG.findall(text)
        if flag not in known and flag.replace('-', '_') not in known
    }
    assert unknown == set()


def test_configs_of_releases_have_the_field_that_messages_advise() -> None:
    for path in (ROOT / 'configs').glob('*.py'):
        module = importlib.import_module(f'configs.{path.stem}')
        for variant in getattr(module, 'VARIANTS', ('',)):
            data = module.get_config(variant).data
            load = plugins.load('datasets', data.name).load
            if 'official' in inspect.signature(load).parameters:
                assert 'official' in data, (path.name, variant)
