"""Pickles that attack, lie or are damaged: refused with an error that says why; nothing runs."""

import builtins
import copyreg
import importlib
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch_archive

from point_ft_jax.checkpoints import torch_file
from point_ft_jax.core.errors import UserError


class Call:
    """Pickles as a call of a function, the way an attack is made."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args

    def __call__(self):
        """Only there so that pickle takes a call for a function."""


def read(path: pathlib.Path, data: bytes, **storages: bytes) -> object:
    entries = {f'data/{key[1:]}': value for key, value in storages.items()}
    path.write_bytes(torch_archive.zipped({'data.pkl': data} | entries))
    return torch_file.read(path)


def read_legacy(path: pathlib.Path, *pickles: bytes) -> object:
    header = pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2)
    path.write_bytes(b''.join((*header, *pickles)))
    return torch_file.read(path)


def push(value: object) -> bytes:
    """The instructions that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


# ------------------------------------------------------------------ attacks


def system(marker):
    return Call(os.system, f'touch {marker}')


def execute(marker):
    return Call(exec, f'open({str(marker)!r}, "w").close()')


def nested_getattr(marker):
    return Call(Call(getattr, Call(importlib.import_module, 'os'), 'mkdir'), str(marker))


ATTACKS = {
    'posix.system': system,
    'builtins.exec': execute,
    'importlib.import_module': nested_getattr,
    'builtins.eval': lambda marker: Call(eval, f'open({str(marker)!r}, "w")'),
    f'{open.__module__}.open': lambda marker: Call(open, str(marker), 'w'),  # io, and _io from 3.12
    'builtins.__import__': lambda marker: Call(builtins.__import__, 'antigravity'),
    'subprocess.Popen': lambda marker: Call(subprocess.Popen, ['touch', str(marker)]),
    'copyreg.add_extension': lambda marker: Call(copyreg.add_extension, 'os', 'system', 240),
}


@pytest.mark.parametrize('attack', [system, execute, nested_getattr])
def test_these_attacks_work_on_pickle_itself(tmp_path, attack):
    pickle.loads(pickle.dumps(attack(tmp_path / 'ran'), 2))
    assert (tmp_path / 'ran').exists()


@pytest.mark.parametrize('name', ATTACKS)
@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_attacks_are_refused_by_name(tmp_path, name, protocol):
    marker = tmp_path / 'ran'
    payload = {'base_model': {}, 'epoch': [ATTACKS[name](marker)]}
    with pytest.raises(UserError, match=f"a.pth: refused: .* '{name}'.* Nothing was run"):
        read(tmp_path / 'a.pth', pickle.dumps(payload, protocol))
    assert not marker.exists()


@pytest.mark.parametrize('place', range(3))
def test_every_pickle_of_a_legacy_file_is_guarded(tmp_path, place):
    pickles = [pickle.dumps({'little_endian': True}, 2), pickle.dumps({}, 2), pickle.dumps([], 2)]
    assert read_legacy(tmp_path / 'a.pth', *pickles) == {}
    pickles[place] = pickle.dumps(system(tmp_path / 'ran'), 2)
    with pytest.raises(UserError, match=r'posix\.system'):
        read_legacy(tmp_path / 'a.pth', *pickles)
    assert not (tmp_path / 'ran').exists()


# Instructions by hand, for what pickle.dumps does not write.
BY_HAND = {
    'torch.hub.load': b'ctorch.hub\nload\n' + push(('someone/repository', 'model')) + b'R',
    'numpy.testing._private.utils.runstring': (
        b'cnumpy.testing._private.utils\nrunstring\n' + push(('open("ran", "w")', {})) + b'R'
    ),
    'pip._internal.main': b'cpip._internal\nmain\n' + push((['install', 'x'],)) + b'R',
    'subprocess.getoutput': b'ccommands\ngetoutput\n' + push(('touch ran',)) + b'R',
    'builtins.getattr': b'c__builtin__\ngetattr\n(csomebody\nThing\n' + push('__globals__') + b'tR',
    'somebody.lib.os.system': push('somebody')
    + push('lib.os.system')
    + b'\x93'
    + push((1,))
    + b'R',
    'types.CodeType': b'ctypes\nCodeType\n)R',
    'logging.os.system': push('logging') + push('os.system') + b'\x93',
    'posix.abort': b'(iposix\nabort\n',
    'nt.system': b'(' + push('touch ran') + b'int\nsystem\n',
    'pathlib.os.system': push('pathlib')
    + push('os.system')
    + b'\x93'
    + push(('touch ran',))
    + b'R',
    'collections.OrderedDict.fromkeys': (
        push('collections') + push('OrderedDict.fromkeys') + b'\x93' + push(([],)) + b'R'
    ),
    'os.system': b'cfunctools\npartial\n(cos\nsystem\nt\x81',
    'posix.system': b'ccopy_reg\n_reconstructor\n(cposix\nsystem\nc__builtin__\nobject\nNtR',
    'runpy.run_path': b'(' + push('storage') + b'crunpy\nrun_path\n' + push('0') + b'tQ',
}


@pytest.mark.parametrize('name', BY_HAND)
def test_handmade_attacks_are_refused_by_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"refused: .* '{name}'"):
        read(tmp_path / 'a.pth', b'\x80\x02' + BY_HAND[name] + b'.')
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def test_a_class_is_neither_imported_nor_made_nor_given_its_state(tmp_path, monkeypatch):
    marker = tmp_path / 'ran'
    run = f'open({str(marker)!r}, "w").close()'
    (tmp_path / 'intruder.py').write_text(
        f'{run}\nclass Trap:\n  def __new__(cls): {run}\n  def __setstate__(self, s): {run}\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    data = b'\x80\x02cintruder\nTrap\n)\x81' + push({'acc': 1.0}) + b'b.'
    value = read(tmp_path / 'a.pth', data)
    assert (value.name, value.state) == ('intruder.Trap', {'acc': 1.0})
    assert not marker.exists()
    assert 'intruder' not in sys.modules


def test_state_given_to_a_name_changes_nothing(tmp_path):
    # pickle would set the attribute on the function itself.
    data = b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\n' + push((None, {'__code__': 1})) + b'b.'
    with pytest.raises(UserError, match='damaged, cut short or not written by torch'):
        read(tmp_path / 'a.pth', data)


def test_bytes_are_decoded_from_latin1_alone(tmp_path):
    with pytest.raises(UserError, match="bytes in the encoding 'rot13'"):
        read(tmp_path / 'a.pth', pickle.dumps(Call(__import__('_codecs').encode, 'a', 'rot13'), 2))


def test_old_style_instances_pass(tmp_path):
    data = (
        b'ccopy_reg\n_reconstructor\n(crunner\nMetric\nc__builtin__\nobject\nNtR(dVacc\nF1.5\nsb.'
    )
    value = read(tmp_path / 'a.pth', data)
    assert (value.name, value.state) == ('runner.Metric', {'acc': 1.5})


def test_an_object_may_hold_itself(tmp_path):
    data = b'\x80\x02crunner\nNode\n)\x81q\x01}' + push('self') + b'h\x01sb.'
    value = read(tmp_path / 'a.pth', data)
    assert value.state['self'] is value


# ------------------------------------------------------------------ tensors that lie


def tensor(size=6, offset=0, shape=(6,), strides=(1,), kind='Float', key='0', view=b'') -> bytes:
    memory = b'(' + push('storage') + f'ctorch\n{kind}Storage\n'.encode() + push(key)
    memory += push('cpu') + push(size) + view + b'tQ'
    parts = memory + push(offset) + push(shape) + push(strides) + b'\x89N'
    return b'ctorch._utils\n_rebuild_tensor_v2\n(' + parts + b'tR'


def test_the_handmade_tensor_is_one(tmp_path):
    value = read(
        tmp_path / 'a.pth', b'\x80\x02' + tensor(shape=(2, 3), strides=(3, 1)) + b'.', _0=bytes(24)
    )
    assert (value.shape, str(value.dtype)) == ((2, 3), 'float32')


@pytest.mark.parametrize(
    ('lie', 'message'),
    [
        ({'offset': 1}, r'shape \(6,\), strides \(1,\) and offset 1 reaches beyond the 6 elements'),
        ({'shape': (7,)}, 'reaches beyond'),
        ({'strides': (2,)}, 'reaches beyond'),
        ({'shape': (1,), 'offset': 10**30}, 'reaches beyond'),
        ({'shape': (2, 2), 'strides': (1, 10**18)}, 'reaches beyond'),
        ({'shape': (10**12,), 'strides': (0,), 'size': 0}, 'reaches beyond the 0 elements'),
        ({'shape': (10**30,), 'strides': (0,)}, 'repeats the 6 elements of its storage too often'),
        ({'shape': (10**9,), 'strides': (0,)}, r'shape \(1000000000,\).*too often'),
        ({'strides': (-1,), 'offset': 5}, r'a tensor has shape \(6,\), strides \(-1,\)'),
        ({'offset': -1}, 'offset -1'),
        ({'shape': (-6,)}, 'a tensor has shape'),
        ({'shape': (2, 3)}, 'a tensor has shape'),
        ({'shape': (2.0,)}, 'a tensor has shape'),
        ({'size': 7}, "tensor storage '0' is cut short: 24 of 28 bytes"),
        ({'size': 10**30}, 'is cut short'),
        ({'kind': 'Double'}, 'cut short: 24 of 48 bytes'),
        ({'size': -1}, "entry of tensor storage '0' is not as PyTorch writes it"),
        ({'view': push(('1', 0, 2))}, 'not as PyTorch writes it'),
        ({'kind': 'QInt8'}, r'unknown type, .torch\.QInt8Storage'),
        ({'key': '1'}, "damaged.*no item named 'root/data/1'"),
        ({'key': '../data.pkl'}, 'damaged.*no item named'),
        ({'key': 0}, 'the reference to a tensor storage is not as PyTorch writes it'),
    ],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, lie, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path / 'a.pth', b'\x80\x02' + tensor(**lie) + b'.', _0=bytes(24))


def test_a_tensor_is_made_from_a_storage_not_from_a_stretched_tensor(tmp_path):
    stretched = tensor(shape=(10**6,), strides=(0,))
    view = push(10**5) + push((1,)) + push((1,)) + b'\x89N'
    data = b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(' + stretched + view + b'tR.'
    with pytest.raises(UserError, match='a tensor is not made from a storage'):
        read(tmp_path / 'a.pth', data, _0=bytes(24))


def test_one_storage_has_one_dtype(tmp_path):
    data = b'\x80\x02(' + tensor() + tensor(kind='Int') + b't.'
    with pytest.raises(UserError, match="storage '0' is not as PyTorch writes it"):
        read(tmp_path / 'a.pth', data, _0=bytes(24))


@pytest.mark.parametrize(
    'pid', [b'P0\n', push(()) + b'Q', push(('storage', 1, '0', 'cpu', 6)) + b'Q']
)
def test_references_of_other_forms_are_refused(tmp_path, pid):
    with pytest.raises(UserError, match='the reference to a tensor storage is not as PyTorch'):
        read(tmp_path / 'a.pth', b'\x80\x02' + pid + b'.')


def dtype(code: str, order: str) -> bytes:
    state = push((3, order, None, None, None, -1, -1, 0))
    return b'cnumpy\ndtype\n' + push((code, False, True)) + b'R' + state + b'b'


@pytest.mark.parametrize(('code', 'order'), [('O8', '|'), ('V16', '|'), ('M8', '<'), ('>f8', '<')])
@pytest.mark.parametrize(
    ('name', 'tail'),
    [
        ('scalar', push('12345678') + b'tR'),
        ('_frombuffer', push((2,)) + push('C') + b'tR'),
    ],
)
def test_numpy_values_of_other_types_than_plain_ones_stay_inert(tmp_path, code, order, name, tail):
    where = 'numeric' if name == '_frombuffer' else 'multiarray'
    head = f'cnumpy.core.{where}\n{name}\n('.encode()
    data = push(b'12345678' * 2) if name == '_frombuffer' else b''
    found = read(tmp_path / 'a.pth', b'\x80\x02' + head + data + dtype(code, order) + tail + b'.')
    assert found.name == f'numpy.core.{where}.{name}'


def test_numpy_values_may_be_in_big_endian_order(tmp_path):
    scalar = b'cnumpy.core.multiarray\nscalar\n(' + dtype('f8', '>') + push('\x3f\xf0' + '\0' * 6)
    value = read(tmp_path / 'a.pth', b'\x80\x02' + scalar + b'tR.')
    assert (value, value.dtype) == (1.0, np.dtype('float64'))


# ------------------------------------------------------------------ odd things beside the weights

ENUM_3_11 = b'c__builtin__\ngetattr\ncrunner\nMode\n' + push('TRAIN') + b'\x86R'
ODD = {
    'runner.Mode': b'crunner\nMode\nK\x01\x85R',
    'builtins.getattr': ENUM_3_11,
    'logging.getLogger': b'clogging\ngetLogger\n' + push('train') + b'\x85R',
    're._compile': b'cre\n_compile\n(' + push('a*') + b'K\x20tR',
    'functools.partial': b'cfunctools\npartial\n(crunner\nnorm\ntR',
    'lightning.fabric.utilities.data.AttributeDict': (
        b'clightning.fabric.utilities.data\nAttributeDict\n)R('
        + push('lr')
        + b'G'
        + bytes(8)
        + b'u'
    ),
    'runner.run': b'(irunner\nrun\n',
    'runner.start': b'(crunner\nstart\no',
    'collections.deque': b'ccollections\ndeque\n)K\x05\x86R(K\x01K\x02e',
    'numpy.random._pickle.__generator_ctor': (
        b'cnumpy.random._pickle\n__generator_ctor\n' + push('MT19937') + b'\x85R'
    ),
    'builtins.ValueError': b'c__builtin__\nValueError\n' + push('nan') + b'\x85R',
}


@pytest.mark.parametrize('name', ODD)
def test_an_odd_object_beside_or_among_the_weights_stays_inert(tmp_path, name):
    odd, key = ODD[name], push('odd')
    for data in (
        b'}(' + push('model') + b'}' + push('w') + tensor() + b's' + key + odd + b'u',
        b'}' + push('state_dict') + b'}(' + push('w') + tensor() + key + odd + b'us',
        b'}(' + push('w') + tensor() + key + odd + b'u',
    ):
        read(tmp_path / 'a.pth', b'\x80\x02' + data + b'.', _0=bytes(24))
        weights, beside = torch_file.state_dict(tmp_path / 'a.pth')
        assert list(weights) == ['w']
        assert beside['odd'].name == name


@pytest.mark.parametrize('odd', [None, 3, 0.5, 'cpu', (1, 2), True])
def test_a_plain_value_among_the_tensors_is_left_beside_them(tmp_path, odd):
    content = {'base_model': {'w': np.ones(2, np.float32), 'odd': odd}, 'epoch': 3}
    (tmp_path / 'a.pth').write_bytes(torch_archive.checkpoint(content))
    weights, beside = torch_file.state_dict(tmp_path / 'a.pth')
    assert list(weights) == ['w']
    assert beside == {'epoch': 3, 'odd': odd}


def test_keys_that_no_dict_here_has_are_kept_unhashed(tmp_path):
    data = pickle.dumps({(1, ('a', 2)): 1, 2**70: {frozenset('a')}, 'b': {1, (2,)}}, 4)
    value = read(tmp_path / 'a.pth', data)
    odd = [key for key in value if key != 'b']
    assert [(key.name, key.args) for key in odd] == [
        ('tuple key', ((1, ('a', 2)),)),
        ('int key', (2**70,)),
    ]
    assert 1 in value['b']


# ------------------------------------------------------------------ damage


def test_absurd_sizes_take_no_memory(tmp_path):
    # A memo index of 4 billion, which is legal; bytes, a frame, an array of bytes of 2**40 bytes.
    assert read(tmp_path / 'a.pth', b'\x80\x02Nr\xff\xff\xff\xff.') is None
    for opcode in (b'\x8e', b'\x95', b'\x96'):
        with pytest.raises(UserError, match='damaged'):
            read(tmp_path / 'a.pth', b'\x80\x05' + opcode + b'\0\0\0\0\0\1\0\0.')


def test_bottomless_nesting_is_refused(tmp_path):
    with pytest.raises(UserError, match='nested deeper than 100 levels'):
        read(tmp_path / 'a.pth', b'\x80\x02' + b']' * 50_000 + b'a' * 49_999 + b'.')
