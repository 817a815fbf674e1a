"""Classes that two data sets share: what CAD models are called where, and where scans are.

Two benchmarks of the shift from CAD models to scans: ModelNet40 to ScanObjectNN over 11 classes,
where benches and stools are chairs and dressers and wardrobes are cabinets (Uy et al., ICCV 2019,
whose own map it is), and ShapeNet to ScanObjectNN over 9 (Huang et al., MetaSets, CVPR 2021).
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.split import Split

_SCANNED = ('cabinet', 'chair', 'desk', 'display', 'door', 'shelf', 'table', 'bed', 'sink', 'sofa')
_SCAN11 = (*_SCANNED, 'toilet')
_SCAN9 = ('bag', 'cabinet', 'chair', 'display', 'shelf', 'table', 'bed', 'pillow', 'sofa')
_MODELNET = {
    **{name: name for name in ('chair', 'desk', 'door', 'table', 'bed', 'sink', 'sofa', 'toilet')},
    **{'bench': 'chair', 'stool': 'chair', 'dresser': 'cabinet', 'wardrobe': 'cabinet'},
    **{'monitor': 'display', 'bookshelf': 'shelf'},
}
# Synsets of ShapeNet. The nine are those that both have, except bins; the list of the benchmark's
# own files was not available.
_SHAPENET = {
    **{'02773838': 'bag', '02933112': 'cabinet', '03001627': 'chair', '03211117': 'display'},
    **{'02871439': 'shelf', '04379243': 'table', '02818832': 'bed', '03938244': 'pillow'},
    '04256520': 'sofa',
}


@dataclasses.dataclass(frozen=True)
class Shared:
    """Classes that data sets share.

    Attributes:
        classes: their names by label.
        names: what they are called elsewhere -> the name here.
    """

    classes: tuple[str, ...]
    names: Mapping[str, str]


SHARED = {
    'scan11': Shared(_SCAN11, {**_MODELNET, **{name: name for name in _SCAN11}}),
    'scan9': Shared(_SCAN9, {**_SHAPENET, **{name: name for name in _SCAN9}}),
}


def only_shared(split: Split, shared: str | None) -> Split:
    """The clouds of a split whose classes are shared, labelled by the shared names.

    Args:
        split: of ModelNet40, ShapeNet-55 (whose classes are synsets), ScanObjectNN, or of embedded
            shapes named like them.
        shared: 'scan11', 'scan9', or None for the split as it is.

    Raises:
        UserError: another name, or shared classes that the split has no class for.

    Examples:
        >>> from point_ft_jax.data.datasets import shapes
        >>> cad = shapes.load('test', style='cad', classes='cad40', num_points=8, test_size=40)
        >>> kept = only_shared(cad, 'scan11')
        >>> len(cad), len(kept), kept.classes[:3]
        (40, 14, ('cabinet', 'chair', 'desk'))
    """
    if shared is None:
        return split
    if shared not in SHARED:
        raise UserError(f'shared is {shared!r}; expected one of {", ".join(SHARED)}')
    known = SHARED[shared]
    targets = [known.names.get(name) for name in split.classes]
    if missing := [name for name in known.classes if name not in targets]:
        raise UserError(
            f'shared is {shared!r}, and this data set has no class for {", ".join(missing)}; it '
            f'has {", ".join(split.classes[:6])}, …'
        )
    labels = np.array([known.classes.index(t) if t else -1 for t in targets], np.int32)
    kept = split.take(np.flatnonzero(labels[split.labels] >= 0))
    parts = kept.parts and _parts(kept.parts, labels, len(known.classes))
    return dataclasses.replace(kept, labels=labels[kept.labels], classes=known.classes, parts=parts)


def _parts(
    parts: tuple[tuple[int, ...], ...], labels: np.ndarray, count: int
) -> tuple[tuple[int, ...], ...]:
    """The parts of each shared class: those of all classes that became it."""
    return tuple(
        tuple(
            sorted({p for own, to in zip(parts, labels, strict=True) if to == label for p in own})
        )
        for label in range(count)
    )
