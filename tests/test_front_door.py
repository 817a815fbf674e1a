"""The front door: its names, its docstrings with examples that run, and what importing it costs."""

import doctest
import inspect
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import point_ft_jax

EXAMPLES = [name for name in point_ft_jax.__all__ if name not in ('UserError', 'weight_space')]


@pytest.mark.parametrize('name', point_ft_jax.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(point_ft_jax, name))
    assert name in dir(point_ft_jax)


def test_importing_the_package_imports_no_jax() -> None:
    code = 'import sys, point_ft_jax; print({"jax", "numpy", "flax"} & set(sys.modules))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'set()'


def test_a_warning_names_the_line_that_called_the_package(tmp_path: pathlib.Path) -> None:
    for split, sizes in (('train', (20, 20, 3)), ('test', (20, 20, 20))):
        (tmp_path / split / 'bag').mkdir(parents=True)
        for number, size in enumerate(sizes):
            cloud = np.random.default_rng(number).normal(size=(size, 3))
            np.save(tmp_path / split / 'bag' / f'{number}.npy', cloud)
    with pytest.warns(UserWarning, match='every cloud keeps 3 points') as caught:
        point_ft_jax.load_dataset('folder', root=str(tmp_path))
    assert [one.filename for one in caught] == [__file__]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'finetuen'"):
        point_ft_jax.finetuen  # noqa: B018


@pytest.mark.parametrize('former', ['predict', 'evaluate_checkpoint', 'quick'])
def test_a_module_of_before_names_its_successor(former: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=rf'{former} has moved: use'):
        __import__(f'point_ft_jax.{former}')


@pytest.mark.parametrize('name', EXAMPLES)
def test_help_shows_types_that_can_be_read(name: str) -> None:
    thing = getattr(point_ft_jax, name)
    own = [thing, *(m for m in vars(thing).values() if isinstance(m, classmethod | staticmethod))]
    for function in own:
        for parameter in inspect.signature(
            getattr(function, '__func__', function)
        ).parameters.values():
            assert len(inspect.formatannotation(parameter.annotation)) < 120, parameter.name


@pytest.mark.parametrize('name', EXAMPLES)
def test_the_example_of_a_name_runs(name: str) -> None:
    thing = getattr(point_ft_jax, name)
    thing = getattr(thing, 'from_arrays', thing)
    [test] = [t for t in doctest.DocTestFinder(recurse=False).find(thing, name) if t.examples]
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert (result.failed, result.attempted > 0) == (0, True)
