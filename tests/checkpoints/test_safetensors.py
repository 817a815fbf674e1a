"""`.safetensors` files: what is written is read, damage is one message, and loads take them."""

import contextlib
import pathlib
import sys
from collections.abc import Iterator

import jax
import ml_dtypes
import numpy as np
import pytest

from point_ft_jax.checkpoints import safetensors_file, torch_file, weights
from point_ft_jax.checkpoints.pretrained import load_pretrained
from point_ft_jax.commands import inspect
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import create_model

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'torch_pointcloud'
NARROW = GOLDEN / 'point_mae_narrow.safetensors'
STATE = {
    **{
        name: np.asarray([[0, 1, 2], [1, 0, 1]], kind)
        for name, kind in safetensors_file.TYPES.items()
    },
    'turned': np.arange(6.0).reshape(2, 3).T,
    'scalar': np.float32(3),
}


@pytest.fixture
def package() -> Iterator[None]:
    """The tests of files; without the package they are skipped."""
    return pytest.importorskip('safetensors', reason='pip install safetensors')


def test_without_the_package_its_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    with pytest.raises(UserError, match='pip install safetensors'):
        weights.read(NARROW)


def test_every_type_and_shape_comes_back(package, tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.safetensors'
    safetensors_file.write(path, STATE, {'classes': '["a"]'})
    found, metadata = safetensors_file.read(path)
    assert metadata == {'format': 'pt', 'classes': '["a"]'}
    assert found.keys() == STATE.keys()
    for name, value in STATE.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        assert np.array_equal(found[name], value)
    assert list(tmp_path.iterdir()) == [path]


def test_what_such_a_file_cannot_hold_is_named(package, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"entries are not: \['words'\]"):
        safetensors_file.write(tmp_path / 'a.safetensors', {'words': np.array(['a'])}, {})
    with pytest.raises(UserError, match='cannot be written'):
        safetensors_file.write(tmp_path / 'none' / 'a.safetensors', {'x': np.zeros(1)}, {})


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'its header would have 0 bytes, and the file has 0'),
        (b'abc', 'cut short'),
        ((1 << 62).to_bytes(8, 'little') + b'{}', '4,611,686,018,427,387,904 bytes, and the file'),
        ((2).to_bytes(8, 'little') + b'[]', 'its header is a list'),
        ((3).to_bytes(8, 'little') + b'\xff\xff\xff', 'its header is no JSON'),
        ((100_000).to_bytes(8, 'little') + b'[' * 100_000, 'its header is no JSON'),
        (
            (61).to_bytes(8, 'little')
            + b'{"x":{"dtype":"F32","shape":[999999999],"data_offsets":[0,4]}}'[:61],
            'damaged|no JSON',
        ),
        ((32).to_bytes(8, 'little') + b'{"x":{"dtype":"C128","shape":[]}}'[:32], 'no JSON|types'),
    ],
)
def test_damage_is_one_message(
    package, tmp_path: pathlib.Path, content: bytes, message: str
) -> None:
    path = tmp_path / 'a.safetensors'
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        weights.read(path)


def test_changed_bytes_give_arrays_or_one_message(package, tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.safetensors'
    safetensors_file.write(path, STATE, {})
    whole, r = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        content = bytearray(whole[: len(whole) - int(r.integers(0, 2)) * int(r.integers(0, 900))])
        for place in r.integers(0, min(len(content), 1200), 3):
            content[place] = r.integers(0, 256)
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            safetensors_file.read(path)
            continue
        refused += 1
    assert 250 < refused <= 500


def test_a_pth_by_a_wrong_name_is_read_by_what_it_is(package, tmp_path: pathlib.Path) -> None:
    state = {'x': np.arange(3, dtype=np.float32)}
    safetensors_file.write(tmp_path / 'really.pth', state, {})
    assert np.array_equal(weights.read(tmp_path / 'really.pth').state['x'], state['x'])
    torch_file.write(tmp_path / 'b.pth', state)
    assert np.array_equal(weights.read(tmp_path / 'b.pth').state['x'], state['x'])
    with pytest.raises(UserError, match='--key names an entry'):
        weights.read(tmp_path / 'really.pth', key='model')


def test_a_file_of_torch_pointcloud_loads_and_the_report_says_whose_it_is(package) -> None:
    """Written by that library's own means, in bfloat16; its logits are those of the fixture."""
    geometry = {
        **{'width': 24, 'depth': 1, 'heads': 2, 'num_groups': 16, 'group_size': 8},
        'tokenizer_widths': (8, 16, 32),
    }
    model = create_model('point_mae', 15, geometry=geometry)
    variables, report = load_pretrained(model, str(NARROW))
    assert report.project == 'torch-pointcloud'
    assert str(report).startswith('names of torch-pointcloud; loaded ')
    assert not report.new
    leaves = trees.flatten(variables['params']['backbone'])
    assert leaves['cls_token'].dtype == np.float32
    state = weights.read(NARROW).state
    assert state['cls_token'].dtype == ml_dtypes.bfloat16
    whole, _ = model.load_all(model.shapes(), state, 'file')
    arrays = np.load(GOLDEN / 'outputs.npz')
    logits = jax.jit(model.module.apply)(whole, arrays['points'])
    np.testing.assert_allclose(logits, arrays['point_mae_narrow'], atol=3e-6, rtol=0)


@pytest.mark.slow
def test_inspect_says_whose_file_it_is(package, capsys: pytest.CaptureFixture) -> None:
    inspect.main([str(NARROW)])
    out = capsys.readouterr().out
    assert 'of bfloat16' in out
    assert 'written by torch-pointcloud' in out
    assert 'a fine-tuned classifier, head 48 -> 256 -> 256 -> 15' in out
