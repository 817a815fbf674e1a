"""Flipped bits and lost ends of whatever a run keeps: named or mended, never taken for sound."""

import contextlib
import dataclasses
import pathlib
import random
import shutil
import warnings
from collections.abc import Callable

import jax
import numpy as np
import pytest
import small

from point_ft_jax.checkpoints import delta
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints.store import CheckpointStore
from point_ft_jax.core import cache, disk, trees
from point_ft_jax.core.devices import say
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import Model, create_model
from point_ft_jax.training import metrics_log
from point_ft_jax.training.population import Member, Population, Training, start_training
from point_ft_jax.training.resume import Checkpoints

METADATA = {'classes': list(small.CLASSES), 'part_names': [], 'points': 32, 'checkpoint': 'a.pth'}
STEPS = 6
ARRAYS = {'points': np.arange(600.0).reshape(100, 2, 3), 'ids': np.array(['a', 'b'])}


@dataclasses.dataclass
class Kept:
    """A folder with all that a run keeps, and what is to be read from it."""

    folder: pathlib.Path
    variables: trees.Variables
    training: Training
    states: dict[int, Training]

    def read_model(self, folder: pathlib.Path) -> object:
        """The model from its facts, its spec, the frozen half and the delta."""
        tuned = saved.load_run(folder)
        return tuned.variables, tuned.metadata, tuned.model.spec

    def read_metrics(self, folder: pathlib.Path) -> object:
        """The metrics, and a word about what is missing."""
        found = metrics_log.read(folder)
        if len(found) != 4:
            raise UserError(f'{len(found)} epochs')
        return [{**line, 'timing': None} for line in found]

    def resume(self, folder: pathlib.Path) -> object:
        """What a fit goes on to: the state, brought to the last step, and the best trees."""
        with Checkpoints(folder, 1, STEPS) as checkpoints:
            training = checkpoints.resume(self.training)
            checkpoints.repair_best(training)
            step = checkpoints.step()
            same = jax.tree.map(_bits, training.state) == jax.tree.map(
                _bits, self.states[step].state
            )
            return same, jax.tree.map(_bits, checkpoints.best(training))

    def read_cache(self, folder: pathlib.Path) -> object:
        """What is cached, or what is made in its place, with a warning."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter('always')
            found = cache.read(folder / 'cache' / 'a.npz', *ARRAYS)
        if found is None and told:
            raise UserError(str(told[0].message))
        return found


def _bits(leaf: object) -> bytes:
    return np.asarray(leaf).tobytes()


def model_of_a_run() -> Model:
    return create_model('recon', 3, method='linear_probe', geometry=small.GEOMETRY)


@pytest.fixture(scope='module')
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp('kept') / 'seed_0'
    model = model_of_a_run()
    variables = jax.tree.map(np.asarray, model.init(jax.random.key(0)))
    trainable = trees.select(variables['params'], model.trainable)
    frozen = trees.partition(variables['params'], trainable)[1]
    saved.save_start(folder, model.spec, METADATA, frozen)
    delta.save(folder / saved.DELTA, model.spec, variables, trainable, METADATA)
    recipe = small.recipe(model)
    population = Population.of([Member()], recipe.module)
    training = start_training(recipe, population, [variables], trainable, STEPS)
    states = {}
    with Checkpoints(folder, 1, STEPS) as checkpoints, metrics_log.writer(folder) as write:
        for epoch in range(1, 5):
            moved = jax.tree.map(lambda leaf, by=epoch: leaf + by, training.state.trainable)
            state = training.state.replace(step=np.int32(epoch * STEPS), trainable=moved)
            states[epoch * STEPS] = now = training.replace(state, training.logs)
            if epoch < 4:
                checkpoints.records = [{'chosen': {'epoch': epoch}}]
            write(epoch * STEPS, epoch, {'train_loss': 1 / epoch}, {'seconds': 1.0})
            checkpoints.save(now)
            if epoch < 4:
                checkpoints.save_best(now, [True], epoch)
    cache.write(folder / 'cache' / 'a.npz', **ARRAYS)
    return Kept(folder, variables, training, states)


def damaged(content: bytes, r: random.Random) -> bytes:
    """The content with one bit flipped, or without its end; empty content with a byte."""
    if not content:
        return b'\0'
    if r.random() < 0.3:
        return content[: r.randrange(len(content))]
    changed = bytearray(content)
    changed[r.randrange(len(changed))] ^= 1 << r.randrange(8)
    return bytes(changed)


def reader_of(kept: Kept, name: str) -> Callable[[pathlib.Path], object]:
    """What reads a file of the folder."""
    first = name.split('/')[0]
    readers = {
        'best': kept.resume,
        'last': kept.resume,
        'cache': kept.read_cache,
        metrics_log.FILE: kept.read_metrics,
    }
    return readers.get(first, kept.read_model)


def sweep(kept: Kept, scratch: pathlib.Path, each: int, few: int | None = None) -> dict[str, int]:
    """How the damages to every file end: 'named' or 'mended', and what must not be.

    Args:
        kept: the sound folder.
        scratch: a folder to damage copies in.
        each: damages to a file.
        few: how many files, at random; None for all.
    """
    r = random.Random(0)
    found = dict.fromkeys(('named', 'mended', 'silent', 'traceback'), 0)
    names = sorted(
        str(path.relative_to(kept.folder))
        for path in kept.folder.rglob('*')
        if path.is_file() and not path.name.startswith('events.')
    )
    names = names if few is None else r.sample(names, few)
    readers = {reader_of(kept, name) for name in names}
    expected = {reader: reader(kept.folder) for reader in readers}
    for name in names:
        for _ in range(each):
            copy = scratch / 'copy'
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(kept.folder, copy)
            path = copy / name
            path.write_bytes(damaged(path.read_bytes(), r))
            found[outcome(kept, name, copy, expected[reader_of(kept, name)])] += 1
    return found


def outcome(kept: Kept, name: str, copy: pathlib.Path, expected: object) -> str:
    told: list[str] = []
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr('point_ft_jax.training.resume.say', told.append)
        try:
            found = reader_of(kept, name)(copy)
        except UserError as error:
            return 'named' if len(str(error)) < 1500 else 'traceback'
        except Exception as error:
            print(name, repr(error))
            return 'traceback'
    same = jax.tree.structure(found) == jax.tree.structure(expected) and all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    )
    if same and (told or 'commit_success' in name or name.startswith(('last/', 'best/'))):
        return 'mended'
    print(name, 'silent', same)
    return 'silent'


def test_a_damaged_file_is_named_or_mended(kept: Kept, tmp_path: pathlib.Path) -> None:
    found = sweep(kept, tmp_path, each=1, few=16)
    assert found['silent'] == found['traceback'] == 0, found
    assert found['named']
    assert found['mended']


@pytest.mark.slow
def test_hundreds_of_damages_are_named_or_mended(kept: Kept, tmp_path: pathlib.Path) -> None:
    found = sweep(kept, tmp_path, each=8)
    print(found)
    assert found['silent'] == found['traceback'] == 0, found
    assert sum(found.values()) > 400


def flip(folder: pathlib.Path, pattern: str) -> None:
    """Flips a bit in the middle of the largest file that matches."""
    path = max(folder.glob(pattern), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


def test_a_run_goes_on_from_the_state_before_a_damaged_one(
    kept: Kept, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    copy = shutil.copytree(kept.folder, tmp_path / 'run')
    flip(copy, 'last/24/tree/**/d/*')
    with Checkpoints(copy, 1, STEPS) as checkpoints:
        training = checkpoints.resume(kept.training)
        assert checkpoints.step() == 18
        said = capsys.readouterr().err
        assert f'{copy}/last/24 is damaged (tree/' in said
        assert 'has another checksum' in said
        assert f'going on from the state before: step 18 of {copy}/last' in said
        checkpoints.save(kept.states[24])
    with CheckpointStore(copy / 'last') as store:
        assert store.sound_step(say) == 24
    assert training.steps_done == 18


def test_without_a_whole_state_a_run_does_not_begin_anew(
    kept: Kept, tmp_path: pathlib.Path
) -> None:
    copy = shutil.copytree(kept.folder, tmp_path / 'run')
    for step in (copy / 'last').iterdir():
        flip(step, 'tree/**/d/*')
    with (
        Checkpoints(copy, 1, STEPS) as checkpoints,
        pytest.raises(UserError, match=r'no state in .*last is whole: remove .* to train from the'),
    ):
        checkpoints.resume(kept.training)


def test_a_damaged_best_epoch_is_made_again_from_its_state(
    kept: Kept, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    copy = shutil.copytree(kept.folder, tmp_path / 'run')
    flip(copy, 'best/3/tree/**/d/*')
    assert kept.resume(copy) == kept.resume(kept.folder)
    assert 'best/3 was damaged, and is made again from last/' in capsys.readouterr().err


@pytest.mark.parametrize(('part', 'name'), [('delta', 'delta/0'), ('frozen', 'frozen/0')])
def test_a_damaged_half_is_refused_by_name(
    kept: Kept, tmp_path: pathlib.Path, part: str, name: str
) -> None:
    copy = shutil.copytree(kept.folder, tmp_path / 'run')
    flip(copy, f'{part}/*/tree/**/d/*')
    with pytest.raises(UserError, match=rf'run/{name} is damaged \(tree/.* another checksum'):
        saved.load_run(copy)


def test_the_frozen_half_is_written_again_when_the_run_is(
    kept: Kept, tmp_path: pathlib.Path
) -> None:
    copy = shutil.copytree(kept.folder, tmp_path / 'run')
    flip(copy, 'frozen/*/tree/**/d/*')
    trainable = trees.select(kept.variables['params'], model_of_a_run().trainable)
    saved.save_frozen(copy, trees.partition(kept.variables['params'], trainable)[1])
    found = saved.load_run(copy).variables
    jax.tree.map(np.testing.assert_array_equal, found, kept.variables)


def test_a_run_whose_delta_was_not_finished_is_read_from_its_best_epoch(
    kept: Kept, tmp_path: pathlib.Path
) -> None:
    copy = shutil.copytree(kept.folder, tmp_path / 'run')
    (copy / 'delta' / '0' / 'checksums.json').unlink()
    found = saved.load_run(copy).variables['params']['head']
    expected = kept.states[18].state.trainable['head']
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_what_is_not_read_back_as_it_was_written_leaves_what_was_saved_before(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = {'a': np.arange(3.0, dtype=np.float32)}
    with CheckpointStore(tmp_path) as store:
        store.save(1, tree, {'fact': 1})
        read = CheckpointStore._read
        monkeypatch.setattr(
            CheckpointStore,
            '_read',
            lambda self, step, like: ({'a': read(self, step, like)[0]['a'] + 1}, {}),
        )
        with pytest.raises(disk.DiskError, match=r'the disk failed .*/1 is whole: make room'):
            store.save(2, tree, {})
        monkeypatch.undo()
        assert store.step() == 1
        assert store.restore(tree)[1] == {'fact': 1}


def test_the_newest_two_and_what_else_is_asked_for_are_kept(tmp_path: pathlib.Path) -> None:
    tree = {'a': np.zeros(2, np.float32)}
    with CheckpointStore(tmp_path, keep=2) as store:
        for step in range(1, 6):
            store.save(step, tree, {}, also={2} if step >= 2 else ())
        assert store.steps() == [2, 4, 5]
