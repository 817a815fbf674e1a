"""What every file of data/datasets/ promises, whichever they are."""

import inspect
import pathlib
import types
import typing

import numpy as np
import pytest

from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.loader import load_dataset
from point_ft_jax.data.split import Split

# Those that need no files of their own, with options that make them small.
GENERATED = {'shapes': {'style': 'cad', 'num_points': 64, 'train_size': 30, 'test_size': 15}}
# What the others ask for beside their root.
NEEDED = {'tfds': {'dataset': 'scan_object_nn/obj_bg'}, 'domains': {'domain': 'modelnet'}}
OPTIONAL = {'tfds': 'tensorflow_datasets'}
SETTABLE = (bool, int, float, str)  # what a command line can give


@pytest.fixture(params=plugins.available('datasets'))
def name(request: pytest.FixtureRequest) -> str:
    if request.param in OPTIONAL:
        pytest.importorskip(OPTIONAL[request.param])
    return request.param


def options_of(module: types.ModuleType) -> dict[str, inspect.Parameter]:
    """The options of a data set, all but the split."""
    parameters = dict(inspect.signature(module.load).parameters)
    split = parameters.pop('split')
    assert split.default is inspect.Parameter.empty
    return parameters


def root_of(module: types.ModuleType) -> str | None:
    """The option that names a folder."""
    return next((n for n in ('root', 'data_dir') if n in options_of(module)), None)


def test_its_first_line_says_what_it_is(name: str) -> None:
    line = plugins.summary('datasets', name)
    assert 20 <= len(line) <= 100
    assert line.endswith(('.', ':')) or ':' in line


def test_its_options_are_typed_explained_and_can_be_given_on_a_command_line(name: str) -> None:
    module = plugins.load('datasets', name)
    hints = typing.get_type_hints(module.load)
    assert hints['return'] is Split
    text = inspect.getdoc(module.load)
    assert 'Args:' in text
    assert 'Raises:' in text
    for option, parameter in options_of(module).items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, option
        kinds = typing.get_args(hints[option]) or (hints[option],)
        assert kinds[0] in SETTABLE, f'{option} is {hints[option]}'
        assert f'{option}:' in text or f', {option}' in text, f'{option} is not explained'


def test_what_describes_or_examines_it_takes_the_same_options(name: str) -> None:
    module = plugins.load('datasets', name)
    expected = options_of(module)
    for function in ('describe', 'raw'):
        if hasattr(module, function):
            known = dict(inspect.signature(getattr(module, function)).parameters)
            known.pop('split', None)
            rest = known.pop('_', None)  # what `describe` does not look at
            assert [n for n in expected if n in known] == list(known), function
            assert rest or len(known) == len(expected), function
            assert all(expected[n].default == p.default for n, p in known.items()), function


def test_an_unknown_option_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UserError) as caught:
        load_dataset(name, **{'no_such_option': 1})
    message = str(caught.value)
    assert "no option 'no_such_option'; there are " in message
    assert all(option in message for option in options_of(plugins.load('datasets', name)))


def test_a_near_miss_is_named(name: str) -> None:
    option = next(iter(options_of(plugins.load('datasets', name))))
    with pytest.raises(
        UserError, match=rf"no option '{option}s'; did you mean {option!r}\? There are"
    ):
        load_dataset(name, **{f'{option}s': 1})


def test_a_folder_that_is_missing_is_one_error_that_names_it(
    name: str, tmp_path: pathlib.Path
) -> None:
    module = plugins.load('datasets', name)
    if (root := root_of(module)) is None:
        assert name in GENERATED
        return
    for place in (tmp_path / 'none', tmp_path):
        with pytest.raises(UserError) as caught:
            load_dataset(name, **{root: str(place), **NEEDED.get(name, {})})
        assert str(place) in str(caught.value)
    with pytest.raises(UserError, match=f'{root} is not set: give {root}=…'):
        load_dataset(name, **NEEDED.get(name, {}))


def test_another_split_is_refused_with_those_there_are(name: str, tmp_path: pathlib.Path) -> None:
    module = plugins.load('datasets', name)
    root = root_of(module)
    options = {root: str(tmp_path)} if root else GENERATED[name]
    with pytest.raises(UserError, match=r"split is 'val'; (expected|choose) one of train, test"):
        module.load('val', **options, **NEEDED.get(name, {}))


@pytest.mark.parametrize('name', GENERATED)
def test_what_is_generated_is_a_sound_split_the_same_in_every_call(name: str) -> None:
    splits = load_dataset(name, **GENERATED[name])
    again = load_dataset(name, **GENERATED[name])
    assert list(splits) == ['train', 'test']
    assert splits['train'].classes == splits['test'].classes
    for key, split in splits.items():
        assert split.points.dtype == np.float32
        assert split.labels.dtype == np.int32
        assert np.isfinite(split.points).all()
        assert 0 <= split.labels.min() <= split.labels.max() < len(split.classes)
        np.testing.assert_array_equal(split.points, again[key].points)
