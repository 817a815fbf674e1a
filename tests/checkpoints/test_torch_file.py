"""PyTorch files: PyTorch's are read exactly, one's own are read back, others are named."""

import pathlib
import pickletools
import sys
import zipfile
import zlib

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch_archive
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from point_ft_jax.checkpoints import torch_file
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.inert_pickle import Opaque

FIXTURES = pathlib.Path(__file__).parents[1] / 'golden' / 'torch_files'
RICH = ['rich_zip', 'rich_legacy', 'rich_legacy_protocol5']
FLOATS = ['float16', 'bfloat16', 'float32', 'float64']
DTYPES = [*FLOATS, 'int8', 'int16', 'int32', 'int64', 'uint8', 'bool']


def from_name(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values that the fixtures' weights were drawn from."""
    r = np.random.default_rng([1, zlib.crc32(key.encode())])
    if key.endswith('running_var'):
        return r.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) == 3 and shape[0] == 1:
        return (0.1 * r.standard_normal(shape)).astype(np.float32)
    return (r.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


# ------------------------------------------------------------------ what PyTorch wrote


@pytest.mark.parametrize('container', ['zip', 'legacy'])
def test_golden_checkpoint(container):
    weights, info = torch_file.state_dict(FIXTURES / f'{container}.pth')
    drawn = {
        'module.MAE_encoder.encoder.first_conv.0.weight': (8, 3, 1),
        'module.MAE_encoder.encoder.first_conv.1.running_var': (8,),
        'module.MAE_encoder.blocks.blocks.0.attn.qkv.weight': (24, 8),
        'module.mask_token': (1, 1, 8),
    }
    for key, shape in drawn.items():
        np.testing.assert_array_equal(weights.pop(key), from_name(key, shape), strict=True)
    others = {
        'module.MAE_encoder.encoder.first_conv.1.num_batches_tracked': np.array(0),
        'module.MAE_encoder.half': np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16),
        'module.MAE_encoder.t': np.arange(6, dtype=np.float32).reshape(2, 3).T,
    }
    for key, value in others.items():
        np.testing.assert_array_equal(weights.pop(key), value, strict=True)
    assert not weights
    assert info['epoch'] == 300
    assert info['metrics'] == {'acc': np.float32(85.18)}
    assert info['best_metrics'] == {'acc': 85.2}
    assert info['optimizer'] == {'state': {}, 'param_groups': [{'lr': 5e-4, 'params': [0, 1]}]}


@pytest.mark.parametrize('name', RICH)
def test_views_and_dtypes(name):
    weights, _ = torch_file.state_dict(FIXTURES / f'{name}.pth')
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    expected = {
        'whole': whole,
        'transposed': whole.T,
        'rows': whole[1:3],
        'columns': whole[:, 2:5:2],
        'permuted': whole.reshape(2, 3, 4).transpose(2, 0, 1),
        'expanded': np.array([[7, 7, 7], [8, 8, 8]], np.float32),
        'scalar': np.array(2.5, np.float32),
        'empty': np.zeros((0, 3), np.float32),
        'parameter': np.array([1.5, -1.5], np.float32),
        'tagged': np.ones(2, np.float32),
        'complex64': np.array([1 + 2j], np.complex64),
        **{d: np.array([0, 1, 2]).astype(d) for d in [*DTYPES, 'uint16', 'uint32', 'uint64']},
    }
    assert set(weights) == set(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(weights[key], value, err_msg=key, strict=True)
        assert key == 'empty' or not weights[key].flags.writeable
    assert np.shares_memory(weights['whole'], weights['permuted'])


@pytest.mark.parametrize('name', RICH)
def test_what_lies_beside_the_weights(name):
    _, info = torch_file.state_dict(FIXTURES / f'{name}.pth')
    assert info['epoch'] == 300
    assert info['scalars'] == [0.1, 0.5, -3, True, 'abc']
    assert [type(v) for v in info['scalars'][:3]] == [np.float64, np.float32, np.int64]
    np.testing.assert_array_equal(info['arrays']['rows'], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(info['arrays']['columns'], np.arange(6).reshape(2, 3))
    assert info['arrays']['none'].shape == (0, 2)
    assert info['arrays']['flags'].tolist() == [True, False]
    *values, dtype, nothing = info['plain']
    assert values == [{1, 2}, b'\x00\xff', b'', 1 + 2j, (2, 3)]
    assert (dtype.name, nothing) == ('torch.float32', None)
    assert info['groups'] == {'a': [1]}
    assert info['optimizer']['param_groups'][0]['lr'] == 0.5
    np.testing.assert_allclose(info['optimizer']['state'][1]['exp_avg'], [0.1, 0.1])


@pytest.mark.parametrize('name', RICH)
def test_classes_of_others_are_remembered_not_imported(name):
    _, info = torch_file.state_dict(FIXTURES / f'{name}.pth')
    assert isinstance(info['metrics'], Opaque)
    assert repr(info['metrics']) == "Opaque('runner.Metric')"
    assert info['metrics'].state == {'acc': np.float64(85.18)}
    assert info['best_metrics'].state == {'acc': np.float32(85.25)}
    assert dict(info['config'].items) == {'depth': 12, 'sizes': [1, 2]}
    assert info['args'].name == 'argparse.Namespace'
    root, device = info['args'].state['root'], info['args'].state['device']
    assert (root.name, root.args) == ('pathlib.PurePosixPath', ('a', 'b'))
    assert (device.name, device.args) == ('torch.device', ('cpu',))
    assert not {'runner', 'torch'} & set(sys.modules)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('module', r'no weights found: .*found an object of torch\.nn\.modules\.linear\.Linear'),
        ('sparse', r'no weights found: .*an object of torch\._utils\._rebuild_sparse_tensor'),
        ('conj', 'holds a conjugated or negated view'),
    ],
)
def test_what_pytorch_writes_beyond_plain_tensors_is_named(name, message):
    with pytest.raises(UserError, match=message):
        torch_file.state_dict(FIXTURES / f'{name}.pth')


# ------------------------------------------------------------------ where the weights are


def test_weights_are_found_by_name_or_at_the_top(tmp_path):
    path, w = tmp_path / 'a.pth', {'w': np.ones(2, np.float32)}
    for key in torch_file.WEIGHT_KEYS[1:]:
        path.write_bytes(torch_archive.checkpoint({'epoch': 3, 'later': w, key: w}))
        weights, info = torch_file.state_dict(path)
        assert list(weights) == ['w']
        assert set(info) == {'epoch', 'later'}
    path.write_bytes(torch_archive.checkpoint(w))
    weights, info = torch_file.state_dict(path)
    assert list(weights) == ['w']
    assert info == {}


def test_the_first_name_with_arrays_wins(tmp_path):
    a, b = {'a': np.ones(2)}, {'b': np.ones(2)}
    path = tmp_path / 'a.pth'
    path.write_bytes(
        torch_archive.checkpoint({'state_dict': a, 'model': b, 'base_model': 'PointTransformer'})
    )
    weights, info = torch_file.state_dict(path)
    assert list(weights) == ['b']
    assert set(info) == {'state_dict', 'base_model'}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (
            {'epoch': 3, 'net': {'w': np.ones(2)}, 'ema': {'w': np.ones(2)}},
            "'epoch': a value of type int, 'net': .*Say which of 'net', 'ema' holds them: --key",
        ),
        ({'model': {}}, "'model': a dict of 0"),
        ({'model': {'w': 1.0}}, "found a dict of 1 .'model'"),
        ({'random': np.ones(2, np.uint8)}, r"'random': a tensor of shape \(2,\)"),
        ([np.ones(2)], 'found a value of type list'),
        (
            {str(i): i for i in range(20)},
            r"a dict of 20 \('0': .*'7': a value of type int, \.\.\.\)",
        ),
    ],
)
def test_a_file_without_weights_says_what_it_holds(tmp_path, content, message):
    (tmp_path / 'a.pth').write_bytes(torch_archive.checkpoint(content))
    with pytest.raises(UserError, match=f'a.pth: no weights found: .*{message}'):
        torch_file.state_dict(tmp_path / 'a.pth')


def test_one_other_entry_with_tensors_holds_the_weights(tmp_path):
    content = {'epoch': 3, 'rng': np.zeros(2, np.uint8), 'net': {'w': np.ones(2)}}
    (tmp_path / 'a.pth').write_bytes(torch_archive.checkpoint(content))
    weights, beside = torch_file.state_dict(tmp_path / 'a.pth')
    assert list(weights) == ['w']
    assert set(beside) == {'epoch', 'rng'}


def test_weights_are_taken_by_key_and_prefix(tmp_path):
    nets = {'student.a': np.ones(1), 'teacher.a': np.zeros(1)}
    path = tmp_path / 'a.pth'
    path.write_bytes(torch_archive.checkpoint({'model': {'w': np.ones(2)}, 'ema': {'net': nets}}))
    weights, beside = torch_file.state_dict(path, key='ema.net', prefix='teacher.')
    assert {key: value.tolist() for key, value in weights.items()} == {'a': [0.0]}
    assert 'student.a' in beside
    with pytest.raises(UserError, match=r"begins with 'x\.'; they begin with 'student', 'teacher'"):
        torch_file.state_dict(path, key='ema.net', prefix='x.')
    with pytest.raises(UserError, match=r"entry 'emu' is not there; found a dict of 2 \('model'"):
        torch_file.state_dict(path, key='emu')
    with pytest.raises(UserError, match=r"entry 'ema' holds no tensors: it is a dict of 1"):
        torch_file.state_dict(path, key='ema')


# ------------------------------------------------------------------ writing

arrays = st.sampled_from(DTYPES).flatmap(
    lambda name: hnp.arrays(
        hnp.unsigned_integer_dtypes(sizes=(np.dtype(name).itemsize * 8,), endianness='<'),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        elements=st.integers(0, 1) if name == 'bool' else None,
    ).map(lambda bits: bits.view(name))
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(weights=st.dictionaries(st.text(), arrays, min_size=1, max_size=4), extra=plain)
def test_written_is_read_back_bit_for_bit(tmp_path_factory, weights, extra):
    path = tmp_path_factory.mktemp('round', numbered=True) / 'a.pth'
    torch_file.write(path, weights, extra=extra)
    back, info = torch_file.state_dict(path)
    assert list(back) == list(weights)
    for key, value in weights.items():
        assert (back[key].dtype, back[key].shape) == (value.dtype, value.shape)
        assert back[key].tobytes() == value.tobytes()
    assert info == {'extra': extra}


def test_views_scalars_and_jax_arrays_are_written_as_their_values(tmp_path):
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    weights = {
        'transposed': whole.T,
        'sliced': whole[::-1, 1::2],
        'expanded': np.broadcast_to(whole[:1], (3, 6)),
        'jax': jnp.arange(3, dtype=jnp.bfloat16),
        'scalar': np.float64(0.5),
    }
    torch_file.write(tmp_path / 'a.pth', weights, metrics={'acc': np.float32(85.5)})
    back, info = torch_file.state_dict(tmp_path / 'a.pth')
    for key, value in weights.items():
        np.testing.assert_array_equal(back[key], np.asarray(value), strict=True)
    assert info['metrics']['acc'] == np.float32(85.5)


def test_equal_values_give_equal_files(tmp_path):
    for name in ('a', 'b'):
        torch_file.write(tmp_path / f'{name}.pth', {'w': np.ones(3)}, epoch=1)
    assert (tmp_path / 'a.pth').read_bytes() == (tmp_path / 'b.pth').read_bytes()


def test_the_pickle_names_only_what_pytorch_allows(tmp_path):
    # The names that torch.load(weights_only=True) lets through, as of PyTorch 2.13.
    torch_file.write(tmp_path / 'a.pth', {d: np.zeros(2, d) for d in DTYPES}, x=[1, (2.5, None)])
    with zipfile.ZipFile(tmp_path / 'a.pth') as file:
        data = file.read('archive/data.pkl')
        assert file.read('archive/version') == b'3\n'
        assert file.read('archive/byteorder') == b'little'
    assert data.startswith(b'\x80\x02')
    names = {arg for op, arg, _ in pickletools.genops(data) if op.name == 'GLOBAL'}
    floats, others = ['Half', 'BFloat16', 'Float', 'Double'], ['Char', 'Short', 'Int', 'Long']
    assert names == {
        'collections OrderedDict',
        'torch._utils _rebuild_tensor_v2',
        *(f'torch {storage}Storage' for storage in [*floats, *others, 'Byte', 'Bool']),
    }


def test_everything_that_cannot_be_written_is_said_at_once(tmp_path):
    extra = {'config': {'tune': {1, 2}, ('a',): 1}, 'names': np.array(['a']), 'lr': [1j]}
    with pytest.raises(UserError) as caught:
        torch_file.write(tmp_path / 'a.pth', {'w': np.ones(2, '>f4')}, **extra)
    for part in (
        'a.pth: a .pth file holds None, bool, int',
        'base_model.w: an array of dtype >f4',
        'config.tune: a value of type set',
        "config.('a',): a key of type tuple",
        'names: an array of dtype <U1',
        'lr[0]: a value of type complex',
    ):
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_weights_are_arrays_by_name(tmp_path):
    with pytest.raises(UserError, match=r"these entries are not: \['a', 3\]"):
        torch_file.write(tmp_path / 'a.pth', {'a': [1.0], 3: np.ones(2), 'b': np.ones(2)})
    with pytest.raises(UserError, match="'base_model' holds the weights"):
        torch_file.write(tmp_path / 'a.pth', {'b': np.ones(2)}, base_model=1)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    torch_file.write(path, {'w': np.ones(3)})
    before = path.read_bytes()

    def full(self, *args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(zipfile.ZipFile, 'writestr', full)
    with pytest.raises(UserError, match=r'a\.pth: cannot be written: No space left on device'):
        torch_file.write(path, {'w': np.zeros(3)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(UserError, match='cannot be written: No such file or directory'):
        torch_file.write(tmp_path / 'none' / 'a.pth', {'w': np.ones(3)})
