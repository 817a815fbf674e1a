"""Plants as assemblies of solids: the flower pot and the plant.

Every function takes a generator and returns solids in metres or so: y up, the floor at 0, the front
towards +z, x across. A flower pot is mostly pot, a plant mostly leaves; both vary into each other.
"""

from collections.abc import Sequence

import numpy as np

from point_ft_jax.data.shapes.solids import (
    Solid,
    box,
    cylinder,
    plank,
    rod,
    shifted,
    superquadric,
    torus,
)
from point_ft_jax.data.shapes.solids import bowl as shell

GOLDEN_ANGLE = 2.4


def foliage(
    rng: np.random.Generator,
    part: str,
    base: Sequence[float],
    height: float,
    spread: float,
) -> list[Solid]:
    """Stems with blossoms, a rosette of blades, a bush of balls or leaves along a stem.

    Args:
        rng: where randomness comes from.
        part: the part that all of it is.
        base: [3], where it grows from.
        height: how high it rises above that, about.
        spread: how far it reaches sideways, about.
    """
    kind = rng.integers(4)
    base = np.asarray(base, float)
    count = int(rng.integers(4, 9))
    angles = rng.uniform(0, 2 * np.pi) + GOLDEN_ANGLE * np.arange(count)
    outward = np.stack([np.sin(angles), np.zeros(count), np.cos(angles)], axis=1)
    rises = rng.uniform(0.6, 1.0, count)
    tips = base + outward * spread * rng.uniform(0.3, 0.8, (count, 1))
    tips[:, 1] += height * rises
    if kind == 0:
        stems = [rod(part, base, tip, height * 0.03) for tip in tips]
        heads = rng.uniform(0.1, 0.2, count) * height
        return stems + [
            superquadric(part, t, (s, s * 0.7, s)) for t, s in zip(tips, heads, strict=True)
        ]
    if kind == 1:
        return [_blade(part, base, tip, height * 0.13) for tip in tips]
    if kind == 2:
        sizes = rng.uniform(0.45, 0.8, count) * min(height, 2 * spread)
        places = base + (tips - base) * 0.75
        stem = rod(part, base, shifted(base, 0, height * 0.6, 0), height * 0.05)
        return [
            stem,
            *(superquadric(part, p, (s, s, s)) for p, s in zip(places, sizes, strict=True)),
        ]
    solids = [rod(part, base, shifted(base, 0, height * 0.95, 0), height * 0.04)]
    starts = base + (0, 1, 0) * (height * np.linspace(0.25, 0.95, count))[:, None]
    for start, out in zip(starts, outward, strict=True):
        tip = (
            start + out * spread * rng.uniform(0.7, 1.1) + (0, rng.uniform(-0.15, 0.3) * height, 0)
        )
        solids.append(_blade(part, start, tip, spread * 0.4))
    return solids


def flower_pot(rng: np.random.Generator) -> list[Solid]:
    """A pot or box for flowers with its rim, and mostly something small that grows in it."""
    width = rng.uniform(0.25, 0.5)
    deep = width * rng.uniform(0.5, 1.3)
    solids = _pot(rng, width, deep)
    if rng.random() < 0.75:
        rise = deep * rng.uniform(0.5, 1.5)
        solids += foliage(rng, 'plant', (0, deep * 0.7, 0), rise + deep * 0.3, width * 0.7)
    return solids


def plant(rng: np.random.Generator) -> list[Solid]:
    """A house plant, shrub or tree: mostly leaves, in a small pot or none."""
    width = rng.uniform(0.2, 0.35)
    kind = rng.random()
    deep = width * rng.uniform(0.6, 1.1)
    if kind < 0.6:
        solids = _pot(rng, width, deep)
    else:
        solids, deep = [], 0.0
    if rng.random() < 0.35:
        trunk = rng.uniform(0.3, 0.9)
        solids.append(rod('stem', (0, deep * 0.6, 0), (0, deep + trunk, 0), 0.05, taper=-0.2))
        crown = rng.uniform(0.4, 0.8)
        solids += _crown(rng, deep + trunk, crown)
        return solids
    for _ in range(int(rng.integers(1, 3))):
        height, spread = rng.uniform((0.5, 0.3), (1.2, 0.7))
        start = (0, deep * 0.8, 0)
        solids += foliage(rng, 'leaf', start, height, spread)
    return solids


def _pot(rng: np.random.Generator, width: float, deep: float) -> list[Solid]:
    square = rng.random() < 0.25
    taper = rng.uniform(0.0, 0.3)
    long = width * (rng.uniform(1.0, 2.0) if square else 1.0)
    loop = 0.0 if square else 1.0
    bend = rng.choice([0.0, 0.0, 0.5])
    center, size = (0, deep / 2, 0), (long, deep, width)
    solids = [shell('pot', center, size, (bend, loop), 0.12, taper)]
    soil = (long * 0.9, 0.02, width * 0.9)
    solids.append((box if square else cylinder)('pot', (0, deep * 0.8, 0), soil))
    if rng.random() < 0.5 and not square:
        rim = (long * (1 + taper) * 1.1, deep * 0.12, width * (1 + taper) * 1.1)
        solids.append(torus('rim', (0, deep * 0.95, 0), rim, 0.1))
    if rng.random() < 0.3:
        dish = (long * 1.25, 0.04, width * 1.25)
        solids.append((box if square else cylinder)('rim', (0, 0.02, 0), dish))
    return solids


def _crown(rng: np.random.Generator, top: float, size: float) -> list[Solid]:
    """A ball, a cone in tiers, or fronds like a palm's."""
    kind = rng.integers(3)
    middle = np.array([0, top, 0])
    if kind == 0:
        count = int(rng.integers(1, 6))
        shifts = rng.normal(0, 0.2 * size * (count > 1), (count, 3))
        sizes = size * rng.uniform(0.6, 1.0, count)
        return [
            superquadric('leaf', middle + d, (s, s, s)) for d, s in zip(shifts, sizes, strict=True)
        ]
    if kind == 1:
        tiers = int(rng.integers(1, 5))
        solids = []
        for tier in range(tiers):
            wide = size * (1 - 0.7 * tier / tiers)
            place = (0, top - size * 0.3 + tier * size * 1.2 / tiers, 0)
            solids.append(cylinder('leaf', place, (wide, size * 2 / tiers, wide), taper=-0.9))
        return solids
    count = int(rng.integers(5, 10))
    angles = 2 * np.pi * np.arange(count) / count + rng.uniform(-0.2, 0.2, count)
    solids = []
    for angle in angles:
        out = np.array([np.sin(angle), 0, np.cos(angle)])
        peak = middle + out * size * 0.5 + (0, size * 0.25, 0)
        tip = peak + out * size * 0.4 - (0, size * rng.uniform(0.1, 0.5), 0)
        solids += [_blade('leaf', middle, peak, size * 0.2), _blade('leaf', peak, tip, size * 0.2)]
    return solids


def _blade(part: str, start: np.ndarray, tip: np.ndarray, width: float) -> Solid:
    along = np.asarray(tip) - start
    across = (along[2], 0, -along[0]) if np.hypot(along[0], along[2]) > 1e-6 else (1, 0, 0)
    return plank(part, start, tip, (width, width * 0.15), across, exponents=(1.0, 1.0))
