"""What a run remembers of its data, to notice later that they are others."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from point_ft_jax.core.errors import some
from point_ft_jax.data.split import Split

CLOSE = 1e-4  # of the norm of a sketch: what rounding on another processor may change


def fingerprint(split: Split) -> dict[str, Any]:
    """What tells a split from another, in JSON's types, under 10 kB.

    'clouds' and 'points' (of a cloud), 'classes' (name to number of clouds), hashes of the 'names'
    of the clouds and of the 'content' (points and labels), and a 'sketch': two sums of all
    coordinates with fixed weights, which differ little where coordinates differ by rounding.
    """
    counts = np.bincount(split.labels, minlength=len(split.classes)).tolist()
    points = np.ascontiguousarray(split.points, np.float32)
    content = hashlib.sha256(points.tobytes())
    for labels in (split.labels, split.part_labels):
        content.update(b'' if labels is None else np.ascontiguousarray(labels, np.int32).tobytes())
    rows = points.reshape(len(points), -1)
    sums = (rows @ np.cos(np.arange(rows.shape[1], dtype=np.float32))).astype(np.float64)
    return {
        'clouds': len(split),
        'points': int(points.shape[1]),
        'classes': dict(zip(map(str, split.classes), counts, strict=True)),
        'names': hashlib.sha256('\n'.join(split.names).encode()).hexdigest()[:16],
        'content': content.hexdigest()[:32],
        'sketch': [float(sums @ np.cos(np.arange(len(sums)))), float(np.linalg.norm(sums))],
    }


def fingerprints(splits: Mapping[str, Split]) -> dict[str, dict[str, Any]]:
    """The fingerprint of each split by name."""
    return {name: fingerprint(split) for name, split in splits.items()}


def changes(
    before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """How splits differ from those of the same names before, a sentence each; [] if in nothing.

    Coordinates that differ by rounding alone are the same, see `are_rounded`.
    """
    both = [name for name in before if name in now]
    return [f'{name}: {text}' for name in both if (text := _change(before[name], now[name]))]


def are_rounded(
    before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Whether splits are the same except for small differences of coordinates."""
    both = [name for name in before if name in now]
    other = any(before[name]['content'] != now[name]['content'] for name in both)
    return other and not changes(before, now)


def _change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if all(before[field] == now[field] for field in ('content', 'names', 'classes')):
        return ''
    found = []
    for what in ('clouds', 'points'):
        if before[what] != now[what]:
            unit = 'clouds' if what == 'clouds' else 'points a cloud'
            found.append(f'{before[what]:,} {unit} then, {now[what]:,} now')
    classes = sorted({*before['classes'], *now['classes']})
    counts = [(c, before['classes'].get(c, 0), now['classes'].get(c, 0)) for c in classes]
    moved = [f'{name} {then} then, {count} now' for name, then, count in counts if then != count]
    found += [some(moved)] if moved else []
    if before['names'] != now['names']:
        found.append('clouds of other names')
    if not found and not _are_close(before['sketch'], now['sketch']):
        found.append('other points or labels in as many clouds of the same names')
    return '; '.join(found)


def _are_close(before: list[float], now: list[float]) -> bool:
    scale = CLOSE * max(before[1], now[1])
    return all(abs(a - b) <= scale for a, b in zip(before, now, strict=True))
