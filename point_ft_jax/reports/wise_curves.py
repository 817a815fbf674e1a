"""What the curves of a WiSE experiment say, read for tables and figures."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from point_ft_jax.reports.wise import Experiment


def curve_of(found: 'Experiment', setting: str, read: Callable, choice: str = '') -> np.ndarray:
    """[seeds, alphas]: `read(point)` along the curves of a setting, in percent."""
    choice = choice or found.statistics[0]
    return 100 * np.array(
        [[read(point) for point in seed.curves[choice]] for seed in found.settings[setting]]
    )


def alphas_of(found: 'Experiment') -> np.ndarray:
    """[alphas]: where the curves were measured."""
    first = next(iter(found.settings.values()))[0]
    return np.array([point['alpha'] for point in first.curves[found.statistics[0]]])


def robustness(kind: str) -> Callable[[Mapping], float]:
    """A reader of the mean accuracy over all corruptions and severities."""
    return lambda point: float(
        np.mean([v for levels in point[kind]['corrupted'].values() for v in levels.values()])
    )


def corrupted(found: 'Experiment') -> bool:
    """Whether the target's test clouds were corrupted too."""
    first = next(iter(found.settings.values()))[0].curves[found.statistics[0]][0]
    return bool(first['wise']['corrupted'])
