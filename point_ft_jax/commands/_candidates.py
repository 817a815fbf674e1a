"""Which backbones, in which sizes, a file's weights may be of: by names first, then by shapes."""

import dataclasses
import functools
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from point_ft_jax.core import plugins
from point_ft_jax.core.trees import Variables
from point_ft_jax.models import create_model
from point_ft_jax.models.model import Model
from point_ft_jax.models.torch_names import LEAVES, Fit, without_module

# What the names of a segmentation head begin with: such a backbone is looked for in another form.
SEGMENTATION = ('label_conv', 'convs', 'propagation', 'dgcnn_pro')
ENOUGH = 0.5  # of a backbone's names, without which a file is none of it
NEAREST = 4  # that are tried all the same
NUMBER = re.compile(r'\{\w+\}|(?<![^.])\d+(?![^.])')


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """A backbone in one of its variants, and how the file fits it."""

    backbone: str
    variant: str
    fit: Fit

    @property
    def fits(self) -> bool:
        return not self.fit.problems


def candidates(state: Mapping[str, np.ndarray]) -> list[Candidate]:
    """The backbones that know keys of the file, those that fit first, then those that nearly do.

    Tracing a backbone takes a second or more. It is done for those of whose names the file has half
    or more, or else for the few of which it has most, and for sizes of the file's own widths.
    """
    shares = {name: _share(name, state) for name in plugins.available('backbones')}
    near = [name for name, share in shares.items() if share >= ENOUGH]
    if not near:
        near = [name for name in sorted(shares, key=shares.get)[-NEAREST:] if shares[name] > 0]
    found = [_best_size(name, state) for name in near]
    found = [candidate for candidate in found if candidate.fit.report.loaded]
    return sorted(found, key=lambda candidate: len(candidate.fit.problems))


def _share(backbone: str, state: Mapping[str, np.ndarray]) -> float:
    """How many of a backbone's names a file has, of all (0 to 1), whatever stands before them."""
    names = set(map(_numberless, plugins.load('backbones', backbone).BACKBONE.torch_names.values()))
    found = {ending for key in set(map(_numberless, state)) for ending in _endings(key)}
    return len(names & found) / max(len(names), 1)


def _numberless(name: str) -> str:
    """A name with '#' for its numbers: one for all blocks."""
    return NUMBER.sub('#', name)


def _endings(key: str) -> Iterator[str]:
    """What a key may be called behind a prefix, of a leaf and of the module that has it."""
    parts = key.split('.')
    stops = [len(parts), len(parts) - 1] if parts[-1] in LEAVES.values() else [len(parts)]
    for stop in stops:
        yield from ('.'.join(parts[start:stop]) for start in range(stop))


def _best_size(backbone: str, state: Mapping[str, np.ndarray]) -> Candidate:
    """A backbone in the size that fits best."""
    best = _candidate(backbone, 'base', state)
    # Many of the right keys, in other shapes: perhaps another size.
    if best.fit.misshapen and 2 * len(best.fit.report.loaded) > len(best.fit.report.new):
        sizes = [_candidate(backbone, variant, state) for variant in _sizes(backbone, state)]
        best = min([best, *sizes], key=lambda candidate: len(candidate.fit.problems))
    return best


def _sizes(backbone: str, state: Mapping[str, np.ndarray]) -> list[str]:
    """The variants, but for the base, whose widths are lengths of vectors in the file."""
    plugin = plugins.load('backbones', backbone).BACKBONE
    fields = inspect.signature(plugin.build).parameters
    lengths = {value.shape[0] for value in state.values() if value.ndim == 1}

    def widths(size: Mapping[str, object]) -> Iterable[int]:
        for name in ('width', 'widths'):
            if name in fields:
                yield from np.atleast_1d(size.get(name, fields[name].default)).tolist()

    return [
        name
        for name, size in plugin.variants.items()
        if name != 'base' and lengths.issuperset(widths(size))
    ]


def _candidate(backbone: str, variant: str, state: Mapping[str, np.ndarray]) -> Candidate:
    segments = any(key.startswith(SEGMENTATION) for key in without_module(state))
    model, shapes = _model(backbone, variant, segments)
    return Candidate(backbone, variant, model.fit_backbone(shapes, state))


@functools.cache
def _model(backbone: str, variant: str, segments: bool) -> tuple[Model, Variables]:
    """A file's backbone is looked for in the form that its own head needs."""
    model = create_model(backbone, 1, num_parts=1 if segments else None, variant=variant)
    return model, model.shapes()
