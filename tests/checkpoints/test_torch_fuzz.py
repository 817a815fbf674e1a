"""Pickles that would take all time or memory, and mutants: read or refused, at once."""

import pathlib
import pickle

import fuzz
import numpy as np
import pytest
import torch_archive

FIXTURES = pathlib.Path(__file__).parents[1] / 'golden' / 'torch_files'
PROTOCOL = b'\x80\x04'
LONG = 150_000  # instructions: deep enough to end the process, were it done by recursion
CHEAP = 2_100_000  # instructions: more than are read


def push(value: object) -> bytes:
    """The instructions that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(offset: bytes, shape: bytes, strides: bytes, size: bytes = b'K\x06') -> bytes:
    memory = b'(' + push('storage') + b'ctorch\nFloatStorage\n' + push('0') + push('cpu') + size
    parts = memory + b'tQ' + offset + shape + strides + b'\x89N'
    return b'ctorch._utils\n_rebuild_tensor_v2\n(' + parts + b'tR'


def called(name: str, *args: bytes) -> bytes:
    return b'c' + name.replace(' ', '\n').encode() + b'\n(' + b''.join(args) + b'tR'


ONE, NOTHING, BOMB = b'K\x01\x85', b'K\x00', fuzz.BOMB
DTYPE = called('numpy dtype', push('f8'), b'\x89', b'\x88')
COLLISIONS = [k * (2**61 - 1) for k in range(1, 20_000)]
# A list of 20,000 entries, kept as 0 of the memo; then 20,000 times something is made of it.
MANY = b'](' + b'K\x01' * 20_000 + b'eq\x00('


def many(name: str) -> bytes:
    return MANY + called(name, b'h\x00') * 20_000 + b't'


ATTACKS = {
    # Tuples that hold one twice, as a key, in sets, and wherever a value is looked at or shown.
    'key': b'}' + BOMB + b'Ns',
    'key of keys': b'}(' + BOMB + b'Nu',
    'key of dict': b'(' + BOMB + b'Nd',
    'element': b'\x8f(' + BOMB + b'\x90',
    'element of frozenset': b'(' + BOMB + b'\x91',
    'called set': called('builtins set', b']', BOMB, b'a'),
    'called OrderedDict': called('collections OrderedDict', b']', BOMB, b'N\x86', b'a'),
    'key of Counter': called('collections Counter', b'}', BOMB, b'Ns'),
    'key of OrderedDict': called('collections OrderedDict') + BOMB + b'Ns',
    'shape': tensor(NOTHING, BOMB, ONE),
    'strides': tensor(NOTHING, ONE, BOMB),
    'offset': tensor(BOMB, ONE, ONE),
    'size of storage': tensor(NOTHING, ONE, ONE, BOMB),
    'reference to a storage': BOMB + b'Q',
    'encoding': called('_codecs encode', push('a'), BOMB),
    'text': called('_codecs encode', BOMB, push('latin1')),
    'type of numbers': called('numpy dtype', BOMB, b'\x89', b'\x88'),
    'shape of an array': called(
        'numpy.core.numeric _frombuffer', push('a'), DTYPE, BOMB, push('C')
    ),
    'torch.Size': called('torch Size', BOMB),
    'complex': called('builtins complex', BOMB),
    'arguments of nobody': called('somebody Thing', BOMB),
    'state of nobody': called('somebody Thing') + BOMB + b'b',
    'weights': b'}' + push('model') + BOMB + b's',
    # Depth.
    'deep tuples': b')' + b'\x85' * LONG,
    'deep key': b'})' + b'\x85' * LONG + b'Ns',
    'deep lists': b']' * (LONG // 2) + b'a' * (LONG // 2 - 1),
    'deep dicts': (b'}N' * (LONG // 3)) + b'}' + b's' * (LONG // 3),
    'deep objects': b'ca\nb\nq\x00' + b')' + b'h\x00\x85' * 1000 + b'R' * 1000,
    # Cheap instructions, many of them.
    'sets': b'\x8f' * CHEAP,
    'memo': b'N' + b'\x94' * CHEAP,
    'names': b''.join(b'ca\n%d\n' % number for number in range(20_000)),
    # Keys of one hash, and memo entries.
    'colliding keys': b'}(' + b''.join(push(key) + b'N' for key in COLLISIONS) + b'u',
    'colliding memo': b'N' + b''.join(b'p%d\n' % key for key in COLLISIONS),
    'colliding complex': b'}('
    + b''.join(
        called('builtins complex', push(float(-1000003 * k)), push(float(k))) + b'N'
        for k in range(1, 8_000)
    )
    + b'u',
    # Much made of little.
    'sets of one list': many('builtins set'),
    'sizes of one list': many('torch Size'),
    'dicts of one list': many('collections OrderedDict'),
    'objects of one list': MANY + b'ca\nb\n0' + called('a b', b'h\x00') * 20_000 + b't',
    'bytes of one text': push('a' * 100_000)
    + b'q\x000('
    + called('_codecs encode', b'h\x00', push('latin1')) * 10_000
    + b't',
    'long names of one text': push('a' * 500)
    + b'q\x000'
    + b'('
    + b'h\x00h\x00\x93' * 30_000
    + b't',
    'names of calls of calls': b'ca\nb\n' + b')R' * 50_000,
    'an int of a megabyte': b'\x8b' + (10**6).to_bytes(4, 'little') + b'\x7f' * 10**6,
    'digits': b'I' + b'7' * 10**6 + b'\n',
    'expanded': tensor(NOTHING, push((10**6, 10**6)), push((0, 0))),
    'many axes': tensor(NOTHING, push((1,) * 10**5), push((0,) * 10**5)),
    'bytes that are not there': b'\x8e' + (2**40).to_bytes(8, 'little'),
}


@pytest.mark.parametrize('reader', ['torch', 'pickle'])
def test_attacks_on_time_and_memory_are_over_at_once(tmp_path, reader):
    for name, attack in ATTACKS.items():
        data = PROTOCOL + attack + b'.'
        if reader == 'torch':
            data = torch_archive.zipped({'data.pkl': data, 'data/0': bytes(24)})
        (tmp_path / name.replace(' ', '_')).write_bytes(data)
    fuzz.assert_read_or_refused(fuzz.outcomes(reader, tmp_path, 'files'), len(ATTACKS))


def test_attacks_on_the_head_of_a_legacy_file_are_over_at_once(tmp_path):
    magic, version = pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2)
    bomb, system = PROTOCOL + BOMB + b'.', pickle.dumps({'little_endian': True}, 2)
    empty, keys = pickle.dumps({}, 2), PROTOCOL + b']' + BOMB + b'a.'
    for number, pickles in enumerate(
        [(magic, bomb), (magic, version, bomb), (magic, version, system, empty, keys)]
    ):
        (tmp_path / str(number)).write_bytes(b''.join(pickles))
    found = fuzz.outcomes('torch', tmp_path, 'files')
    fuzz.assert_read_or_refused(found, 3)
    assert found['user_errors'] == 3


@pytest.fixture(scope='module')
def pickles(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Pickles of arrays, as data sets are published in."""
    folder = tmp_path_factory.mktemp('pickles')
    cloud = np.arange(12, dtype=np.float32).reshape(2, 6)
    for protocol in range(6):
        content = [[cloud, np.asfortranarray(cloud)], [np.array([1]), np.array([2], '>i4')]]
        (folder / f'{protocol}.dat').write_bytes(pickle.dumps(content, protocol))
        fold = {'train': [(cloud, 1, 'a')], 'test': []}
        (folder / f'{protocol}.pkl').write_bytes(pickle.dumps(fold, protocol))
    return folder


KINDS = [
    ('torch', 'bytes', 120, 15_000),
    ('torch', 'bytes_of_pickle', 120, 15_000),
    ('torch', 'opcodes_of_pickle', 100, 5_000),
    ('pickle', 'bytes', 100, 5_000),
    ('pickle', 'opcodes', 100, 5_000),
]


def fixtures(reader: str, kind: str, pickles: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """The files to mutate; instructions are those of archives, whose pickle is one."""
    if reader == 'pickle':
        return pickles
    if 'opcodes' not in kind:
        return FIXTURES
    for path in FIXTURES.glob('*.pth'):
        if path.read_bytes().startswith(b'PK'):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize(('reader', 'kind', 'count'), [kind[:3] for kind in KINDS])
def test_a_mutant_is_read_or_refused_never_worse(tmp_path, pickles, reader, kind, count):
    folder = fixtures(reader, kind, pickles, tmp_path)
    fuzz.assert_read_or_refused(fuzz.outcomes(reader, folder, kind, count, 1), count)


@pytest.mark.slow
@pytest.mark.parametrize(('reader', 'kind', 'count'), [(a, b, d) for a, b, _, d in KINDS])
def test_many_mutants_are_read_or_refused_never_worse(tmp_path, pickles, reader, kind, count):
    folder = fixtures(reader, kind, pickles, tmp_path)
    fuzz.assert_read_or_refused(fuzz.outcomes(reader, folder, kind, count, 2), count)
