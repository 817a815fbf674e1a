"""One file a cloud, one folder a class: which files there are, their split, and their points."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all, some
from point_ft_jax.data import checks
from point_ft_jax.data.datasets._options import SPLITS
from point_ft_jax.data.datasets._raw import Raw
from point_ft_jax.data.files import h5, inventory, named
from point_ft_jax.data.files import points as point_files
from point_ft_jax.data.files.inventory import Unused, composed, is_system

OTHER_SPLITS = ('training', 'testing', 'val', 'valid', 'validation', 'dev', 'eval', 'trainval')


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a folder of clouds.

    Attributes:
        base: the folder.
        files: for each split its files, class by class.
        labels: of these files.
        classes: the names of the classes, by label.
        unused: what else lies there.
        unreadable: files that were left out, each with the reason.
    """

    base: pathlib.Path
    files: Mapping[str, Sequence[pathlib.Path]]
    labels: Mapping[str, np.ndarray]
    classes: tuple[str, ...]
    unused: Unused
    unreadable: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def names(self, split: str) -> list[str]:
        """The paths of a split's files from the folder, in one spelling."""
        return [composed(path.relative_to(self.base).as_posix()) for path in self.files[split]]

    def read(
        self, read: Callable[[pathlib.Path], np.ndarray], unreadable: str = 'refuse'
    ) -> tuple['Listing', dict[str, list[np.ndarray]]]:
        """The listing of what was read, and what `read` returns of each file, by split.

        Files that cannot be read are refused, or with unreadable='skip' left out of the listing.

        Raises:
            UserError: files that cannot be read, all of them in one message; classes of train of
                which all are left out.
        """
        clouds: dict[str, list[np.ndarray]] = {split: [] for split in self.files}
        kept: dict[str, list[int]] = {split: [] for split in self.files}
        problems = {}
        for split, paths in self.files.items():
            for index, path in enumerate(paths):
                try:
                    clouds[split].append(read(path))
                    kept[split].append(index)
                except UserError as error:
                    problems[composed(path.relative_to(self.base).as_posix())] = str(error)
        total = sum(map(len, self.files.values()))
        if unreadable == 'refuse':
            heading = f'{len(problems):,} of {total:,} files cannot be read:'
            advice = (
                "leave them out yourself, or by unreadable='skip' (in the shell --unreadable=skip, "
                'of run.py --config.data.unreadable=skip)'
            )
            raise_all([*problems.values(), *([advice] if problems else [])], heading)
        found = dataclasses.replace(
            self,
            files={split: [self.files[split][i] for i in own] for split, own in kept.items()},
            labels={split: self.labels[split][own] for split, own in kept.items()},
            unreadable=problems,
        )
        lost = set(self.labels['train'].tolist()) - set(found.labels['train'].tolist())
        if lost:
            names = some(self.classes[label] for label in sorted(lost))
            heading = f'no file of {names} can be read to train on:'
            raise_all([*problems.values()], heading)
        return found, clouds


def read(
    base: pathlib.Path,
    test_fraction: float,
    seed: int,
    read_file: Callable[[pathlib.Path], np.ndarray],
    unreadable: str,
    channels: tuple[str, ...],
    known: Sequence[str] | None = None,
) -> Raw:
    """The clouds of a folder of class folders, as `read_file` returns them; see `listing`.

    With the names of `known` classes those of test/ alone.

    Raises:
        UserError: no such folders, and what `Listing.read` raises.
    """
    files = listing(base, test_fraction, seed) if known is None else tested(base, known)
    found, clouds = files.read(read_file, unreadable)
    names = {split: found.names(split) for split in SPLITS}
    return Raw(
        *(base, clouds, found.labels, names, found.classes, found.unused),
        unreadable=found.unreadable,
        channels=channels,
    )


def checked(cloud: np.ndarray, path: pathlib.Path) -> np.ndarray:
    """A cloud whose coordinates are sound; a `UserError` that names its file for another."""
    raise_all(checks.cloud_problems([cloud], [path.name]), f'{path} is no sound cloud:')
    return cloud


def folders(base: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The sub-folders of a folder by name, in alphabetical order, but those of the system.

    Two folders whose names differ in their spelling alone (NFC and NFD) are one class.
    """
    found: dict[str, list[pathlib.Path]] = {}
    if base.is_dir():
        for path in sorted(base.iterdir()):
            if path.is_dir() and not is_system(path.name):
                found.setdefault(composed(path.name), []).append(path)
    return dict(sorted(found.items()))


def split_folders(base: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders of the splits that have folders in them, in whatever capitals.

    Raises:
        UserError: two folders for one split.
    """
    found: dict[str, pathlib.Path] = {}
    for name, paths in folders(base).items():
        split = name.lower()
        if split in SPLITS and folders(paths[0]):
            if split in found:
                raise UserError(f'{base} has {found[split].name}/ and {name}/; keep one of them')
            found[split] = paths[0]
    return found


def listing(base: pathlib.Path, test_fraction: float, seed: int) -> Listing:
    """The files of base/{train,test}/<class>/ or, divided here, of base/<class>/.

    Raises:
        UserError: no class folders, or a class without clouds.
    """
    places = split_folders(base)
    return divided(base, places) if places else divide(base, test_fraction, seed)


def divided(base: pathlib.Path, places: Mapping[str, pathlib.Path]) -> Listing:
    """The files of base/{train,test}/<class>/; the classes are those of train.

    Raises:
        UserError: a split without folders, a class without clouds, a class of test only.
    """
    found = {split: folders(places[split]) if split in places else {} for split in SPLITS}
    problems = [
        f'no class folders in {base / split}; {h5.listing(places.get(split, base))}'
        for split in SPLITS
        if not found[split]
    ]
    extra = sorted(set(found['test']) - set(found['train']))
    if extra and found['train']:
        problems.append(f'classes in test that train does not have: {some(extra)}')
    for split in SPLITS:
        problems += _empty(found[split])
    raise_all(problems, f'{base} has no sound train/<class>/ and test/<class>/:')
    return _listing(base, found, tuple(found['train']))


def tested(base: pathlib.Path, known: Sequence[str]) -> Listing:
    """The files of base/test/<class>/ alone, of classes that are known; train is empty.

    Raises:
        UserError: no class folders, or one of another name.
    """
    place = split_folders(base)['test']
    found = folders(place)
    unknown = [name for name in found if name not in known]
    if unknown:
        raise UserError(
            f'{place} has classes that the model was not trained on: {some(unknown)}; it knows '
            f'{some(known, 12)}'
        )
    raise_all(_empty(found), f'{base} has no sound test/<class>/:')
    return _listing(base, {'train': {}, 'test': found}, tuple(known))


def divide(base: pathlib.Path, test_fraction: float, seed: int) -> Listing:
    """The files of base/<class>/, some `test_fraction` of which are for test.

    On which side a cloud is depends on the seed, its class and its own name without the ending, and
    on no other file: no cloud changes sides when others come or go. Only a class of which none
    would be on a side gives that side the cloud that is nearest to it.

    Raises:
        UserError: folders of splits that are not train and test, or a class with fewer than two
            clouds.
    """
    classes = folders(base)
    problems = _layout_problems(base, classes) or _empty(classes)
    sides: dict[str, dict[str, list[pathlib.Path]]] = {split: {} for split in SPLITS}
    for name, places in classes.items():
        files = clouds(places)
        if len(files) == 1:
            problems.append(f'{places[0]} has 1 cloud; expected 2 or more, to train and to test on')
        for split, mine in _sides(files, name, test_fraction, seed).items():
            sides[split][name] = mine
    raise_all(problems, f'{base} cannot be divided into train and test:')
    return _of_files(base, sides, tuple(classes))


def _sides(
    files: Sequence[pathlib.Path], class_name: str, test_fraction: float, seed: int
) -> dict[str, list[pathlib.Path]]:
    order = sorted(files, key=lambda path: position(class_name, path.stem, seed))
    tested = [path for path in order if position(class_name, path.stem, seed) < test_fraction]
    count = min(max(len(tested), 1), max(len(order) - 1, 0))
    chosen = set(order[:count])
    return {
        'train': [path for path in files if path not in chosen],
        'test': [path for path in files if path in chosen],
    }


def position(class_name: str, stem: str, seed: int) -> float:
    """Where a cloud stands between 0 and 1, evenly: for test if below the fraction for test."""
    text = f'{seed}\n{composed(class_name)}\n{composed(stem)}'
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def clouds(places: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The clouds of a class: those directly in its folders.

    Of a mesh and the cloud that was drawn from it, two files of one name, the cloud; of the same
    mesh in several formats the first.
    """
    found = [path for place in places for path in place.iterdir() if point_files.is_cloud(path)]
    found = sorted(found, key=lambda path: composed(path.name))
    first: dict[tuple[pathlib.Path, str], pathlib.Path] = {}
    for path in sorted(found, key=_is_surface):
        first.setdefault((path.parent, path.stem), path)
    return [p for p in found if not _is_surface(p) or first[p.parent, p.stem] == p]


def _is_surface(path: pathlib.Path) -> bool:
    return path.suffix.lower() in named.SURFACES


def _listing(
    base: pathlib.Path,
    found: Mapping[str, Mapping[str, list[pathlib.Path]]],
    classes: tuple[str, ...],
) -> Listing:
    sides = {
        split: {name: clouds(places) for name, places in found[split].items()} for split in SPLITS
    }
    return _of_files(base, sides, classes)


def _of_files(
    base: pathlib.Path,
    sides: Mapping[str, Mapping[str, list[pathlib.Path]]],
    classes: tuple[str, ...],
) -> Listing:
    files = {split: [p for paths in sides[split].values() for p in paths] for split in SPLITS}
    labels = {
        split: np.array([classes.index(n) for n, p in sides[split].items() for _ in p], np.int32)
        for split in SPLITS
    }
    used = [path for paths in files.values() for path in paths]
    return Listing(base, files, labels, classes, inventory.unused(base, used))


def _layout_problems(base: pathlib.Path, classes: Mapping[str, list[pathlib.Path]]) -> list[str]:
    """What is wrong with folders that are no classes: splits, or one folder around them all."""
    strange = [name for name in classes if name.lower() in (*SPLITS, *OTHER_SPLITS)]
    if strange:
        return [f'{some(strange)} may be splits, not classes; expected train/<class>/ and test/...']
    if deeper := _deeper(base):
        return [f'its classes lie further down: set root to {deeper}']
    inside = {name: folders(places[0]) for name, places in classes.items()}
    turned = [
        f'{name}/{split}'
        for name, below in inside.items()
        for split in below
        if split.lower() in (*SPLITS, *OTHER_SPLITS) and not clouds(classes[name])
    ]
    if turned:
        return [
            f'found <class>/<split>/, such as {some(turned, 3)}; expected <split>/<class>/: '
            f'rename {turned[0]} to {"/".join(reversed(turned[0].split("/")))}, and so on'
        ]
    return []


def _deeper(base: pathlib.Path, most: int = 4) -> pathlib.Path | None:
    """The folder with classes or splits, below one folder after the other; None for none such."""
    place = base
    for _ in range(most):
        found = folders(place)
        if len(found) != 1 or clouds(places := next(iter(found.values()))):
            return None
        place = places[0]
        if split_folders(place) or any(map(clouds, folders(place).values())):
            return place
    return None


def _empty(classes: Mapping[str, list[pathlib.Path]]) -> list[str]:
    return [
        f'{places[0]} has no cloud: found {_found(places[0])}, expected files ending in '
        f'{", ".join(point_files.READERS)}'
        for places in classes.values()
        if not clouds(places)
    ]


def _found(place: pathlib.Path) -> str:
    found = inventory.unused(place, [])
    return some([*found.data, *found.lists, *found.documents]) or 'no file'
