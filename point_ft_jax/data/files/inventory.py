"""What lies in the folder of a data set and is not used: counted, and named by what it is."""

import collections
import dataclasses
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from point_ft_jax.core.errors import some

SYSTEM = ('__macosx', '@eadir', 'lost+found', '$recycle.bin', 'system volume information')
SYSTEM_FILES = ('thumbs.db', 'desktop.ini', 'icon\r')
# Endings of clouds, meshes and arrays: such files may be data that someone thinks is used.
DATA = (
    *('.ply', '.npy', '.npz', '.txt', '.xyz', '.pts', '.csv', '.pcd', '.las', '.laz', '.e57'),
    *('.obj', '.off', '.stl', '.glb', '.gltf', '.dae', '.ptx', '.asc', '.xyzn', '.xyzrgb', '.bin'),
    *('.fbx', '.3ds', '.blend', '.step', '.stp', '.vtk', '.vtp', '.usd', '.usdz', '.drc', '.rcp'),
    *('.h5', '.hdf5', '.mat', '.pt', '.pth', '.pkl', '.pickle', '.dat', '.parquet', '.feather'),
    *('.zip', '.gz', '.tar', '.tgz', '.bz2', '.xz', '.7z', '.rar'),
)
TEXT = ('.txt', '.csv', '.tsv', '.lst', '.list', '.json')
DOCUMENT_NAME = re.compile(
    '(read.?me|licen[cs]e|copying|change.?log|citation|authors|contributing|notice|attribution)',
    re.IGNORECASE,
)
LIST_NAME = re.compile(r'(?<![a-z])(train|test|val|valid|validation|split|filelist)(?![a-z])')
LONGEST_LIST = 10_000_000  # bytes; longer ones are not looked into


@dataclasses.dataclass(frozen=True)
class Unused:
    """The files below a folder that are not used, by their paths from it.

    Attributes:
        data: clouds, meshes and arrays, in a place or a format that is not read.
        lists: text that names clouds, such as train.txt.
        documents: other files.
        system: hidden files, and those that systems leave behind.
    """

    data: Sequence[str] = ()
    lists: Sequence[str] = ()
    documents: Sequence[str] = ()
    system: Sequence[str] = ()

    def losses(self) -> list[str]:
        """A sentence for each kind that someone may think is used; [] for none."""
        found = []
        if self.data:
            places = collections.Counter(os.path.dirname(name) or '.' for name in self.data)
            where = some(f'{place}/ {count:,}' for place, count in places.most_common())
            found.append(
                f'{len(self.data):,} files of data are not used: {some(self.data, 3)} (by folder: '
                f'{where}); move clouds to where the others are, and save them in a format of these'
            )
        if self.lists:
            found.append(f'lists that are not followed: {some(self.lists)}')
        return found

    def lines(self) -> list[str]:
        """`losses`, and a sentence on what is left alone with good reason."""
        kinds = {'other files': self.documents, 'files of the system': self.system}
        rest = [
            f'{len(names):,} {kind} ({some(sorted({os.path.basename(n) for n in names}), 3)})'
            for kind, names in kinds.items()
            if names
        ]
        return [*self.losses(), *([f'left alone: {" and ".join(rest)}'] if rest else [])]


def is_system(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or what a system leaves behind."""
    return name.startswith('.') or name.lower() in (*SYSTEM, *SYSTEM_FILES)


def composed(name: str) -> str:
    """A name in one spelling: the same letter may be one character or several (NFC and NFD)."""
    return unicodedata.normalize('NFC', name)


def unused(base: pathlib.Path, used: Iterable[pathlib.Path]) -> Unused:
    """What there is below a folder beside the files that are used."""
    used = set(used)
    stems = {composed(path.stem) for path in used}
    beside = {(path.parent, path.stem) for path in used}
    kinds: dict[str, list[str]] = {'data': [], 'lists': [], 'documents': [], 'system': []}
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(base, followlinks=True):
        place = pathlib.Path(folder)
        if (real := os.path.realpath(folder)) in seen:  # links may lead back
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort()
        hidden = any(map(is_system, place.relative_to(base).parts))
        for path in (place / name for name in sorted(files)):
            if path in used:
                continue
            same = (path.parent, path.stem) in beside  # as a mesh and the cloud drawn from it
            kind = 'system' if hidden or is_system(path.name) else _kind(path, stems, same)
            kinds[kind].append(composed(path.relative_to(base).as_posix()))
    return Unused(**kinds)


def is_document(path: pathlib.Path) -> bool:
    """Whether a text file is no cloud: less than half of the lines of its first 64 KiB hold points.

    One that is called README or the like is none unless all its lines begin with three numbers. An
    empty file, or one of bytes that are no text, may be a cloud that was damaged.
    """
    if path.suffix.lower() not in TEXT:
        return False
    try:
        with open(path, 'rb') as file:
            start = file.read(1 << 16)
    except OSError:
        return False
    if not start.strip() or b'\0' in start:
        return False
    lines = [line for line in re.split('[\r\n]+', start.decode('latin1')) if line.strip()]
    lines = [line for line in lines if not line.lstrip().startswith(('#', '//', '%'))] or lines
    if DOCUMENT_NAME.match(path.stem):
        return not all(re.match(r'([-+.\d]\S*[\s,;|]+){2}[-+.\d]', line.strip()) for line in lines)
    return 2 * sum(map(_has_a_point, lines)) < len(lines)


def _has_a_point(line: str) -> bool:
    """Whether a line has three numbers, the last word among them or x, y, z first."""
    words = [word.strip('"\'') for word in re.split(r'[\s;,|]+', line.strip()) if word]
    numbers = [re.fullmatch(r'[-+]?(\d|\.\d|nan|inf).*', word, re.IGNORECASE) for word in words]
    several = sum(found is not None for found in numbers) >= 3
    return several and (numbers[-1] is not None or all(numbers[:3]))


def _kind(path: pathlib.Path, stems: set[str], same: bool) -> str:
    ending = path.suffix.lower()
    if ending in TEXT and (LIST_NAME.search(path.stem.lower()) or _names_clouds(path, stems)):
        return 'lists'
    if ending not in DATA or same or is_document(path):
        return 'documents'
    return 'data'


def _names_clouds(path: pathlib.Path, stems: set[str]) -> bool:
    """Whether half the words of a text file are names of clouds."""
    try:
        if path.stat().st_size > LONGEST_LIST:
            return False
        words = re.findall(
            r'[^\s,;:"\'\[\]{}]+', path.read_text(encoding='utf-8', errors='replace')
        )
    except OSError:
        return False
    # Bare numbers may be names of clouds, and anything else: coordinates, labels.
    named = [w for w in words if composed(pathlib.PurePosixPath(w).stem) in stems and len(w) > 2]
    return len(named) > 1 and 2 * len(named) >= len(words)
