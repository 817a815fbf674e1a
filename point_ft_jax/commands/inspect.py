"""Says what a PyTorch checkpoint is, and which backbones it can be loaded into.

    point-ft inspect FILE [--keys] [--key=net] [--prefix=student.]

Prints what the file holds, its parameters by part, how it fits each backbone that knows any of its
keys, and what a load would take, leave and miss. Ends with status 0 if a backbone fits, with 1 if
none does or the file can't be read. No code in the file is run.
"""

import argparse
import collections
import dataclasses
import functools
import re
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from point_ft_jax.checkpoints import torch_file
from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.inert_pickle import Opaque, shown
from point_ft_jax.core.trees import Variables
from point_ft_jax.models import create_model
from point_ft_jax.models.model import Model
from point_ft_jax.models.torch_names import COUNTER, Fit, summary, without_module
from point_ft_jax.reports import tables

STATISTICS = ('running_mean', 'running_var', COUNTER)
HEAD = 'cls_head_finetune.'
LAST = re.compile(r'\bconvs?\d(_cls)?\.weight$')  # the maps of a segmentation head
SEGMENTATION = ('label_conv', 'convs', 'propagation', 'dgcnn_pro')
PROBLEMS_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A backbone in one of its variants, and how the file fits it."""

    backbone: str
    variant: str
    fit: Fit

    @property
    def fits(self) -> bool:
        return not self.fit.problems


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with its arguments (those of the process by default); returns its status."""
    parser = argparse.ArgumentParser(
        prog='point-ft inspect',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('file', help='a .pth file')
    parser.add_argument('--keys', action='store_true', help='list every key, not only their number')
    parser.add_argument('--key', help='the entry that holds the weights, where it is not found')
    parser.add_argument(
        '--prefix', default='', help="what the names of the weights begin with, such as 'student.'"
    )
    options = parser.parse_args(argv)
    try:
        state, beside = torch_file.state_dict(options.file, options.key, options.prefix)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    text, status = describe(options.file, state, beside, options.keys)
    print(text)
    return status


def describe(
    source: str, state: Mapping[str, np.ndarray], beside: Mapping[str, object], keys: bool = False
) -> tuple[str, int]:
    """What is known of a state dict, as text; and 0 if a backbone fits it, else 1.

    `beside` is what else the file holds; with `keys` every key is listed.
    """
    found = candidates(state)
    fitting = [candidate for candidate in found if candidate.fits]
    lines = [_headline(source, state, beside), '', tables.text(_parts(state)), '']
    if found:
        lines += [tables.text([_row(candidate) for candidate in found]), '']
    for candidate in fitting:
        lines += _outcome(candidate, keys)
    if not fitting:
        lines += ['It fits none of the backbones: ' + ', '.join(plugins.available('backbones'))]
    if not fitting and found:
        lines += _complaint(found[0], keys)
    return '\n'.join(lines), 0 if fitting else 1


def candidates(state: Mapping[str, np.ndarray]) -> list[Candidate]:
    """The backbones that know any of the keys, those that fit first, then those that nearly do."""
    found = []
    for name in plugins.available('backbones'):
        best = _candidate(name, 'base', state)
        report = best.fit.report
        # Many of the right keys, in other shapes: perhaps another size.
        if best.fit.misshapen and 2 * len(report.loaded) > len(report.new):
            others = [v for v in plugins.load('backbones', name).BACKBONE.variants if v != 'base']
            sizes = [best, *(_candidate(name, variant, state) for variant in others)]
            best = min(sizes, key=lambda candidate: len(candidate.fit.problems))
        if best.fit.report.loaded:
            found.append(best)
    return sorted(found, key=lambda candidate: len(candidate.fit.problems))


def _candidate(backbone: str, variant: str, state: Mapping[str, np.ndarray]) -> Candidate:
    segments = any(key.startswith(SEGMENTATION) for key in without_module(state))
    model, shapes = _model(backbone, variant, segments)
    return Candidate(backbone, variant, model.fit_backbone(shapes, state))


@functools.cache
def _model(backbone: str, variant: str, segments: bool) -> tuple[Model, Variables]:
    """A file's backbone is looked for in the form that its own head needs."""
    model = create_model(backbone, 1, num_parts=1 if segments else None, variant=variant)
    return model, model.shapes()


def _headline(source: str, state: Mapping[str, np.ndarray], beside: Mapping[str, object]) -> str:
    types = sorted({str(value.dtype) for key, value in state.items() if _is_parameter(key)})
    scalars = (bool, int, float, str)
    others = [
        f'{k} {shown(v)}'
        if isinstance(v, scalars)
        else f'{k} ({v.name})'
        if isinstance(v, Opaque)
        else str(k)
        for k, v in beside.items()
    ]
    first = next(iter(state), '').partition('.')[0] + '.'
    wrapped = f', all below {first!r}' if all(k.startswith(first) for k in state) else ''
    return '\n'.join(
        [
            f'{source}: {_form([key.replace("module.", "") for key in state], state)}',
            f'{len(state):,} keys, {_count(state):,} parameters of {", ".join(types)}{wrapped}',
            f'beside the weights: {", ".join(others) or "nothing"}',
        ]
    )


def _form(keys: Sequence[str], state: Mapping[str, np.ndarray]) -> str:
    """What was trained, by the keys beside the backbone's."""
    if any(key.startswith(HEAD) for key in keys):
        return f'a fine-tuned classifier, {_head(state)}'
    if any(key.startswith(SEGMENTATION) for key in keys):
        return f'a fine-tuned segmentation model, {_parts_of(state)}'
    if any('mask_token' in key for key in keys):
        return 'a pre-training checkpoint'
    return 'weights without a head or a decoder'


def _head(state: Mapping[str, np.ndarray]) -> str:
    """'head 768 -> 256 -> 15 (with batch norm)'; the last is the number of classes."""
    layers = {
        int(key.split('.')[-2]): value.shape
        for key, value in state.items()
        if HEAD in key and key.endswith('.weight') and key.split('.')[-2].isdecimal()
    }
    linear = [shape for _, shape in sorted(layers.items()) if len(shape) == 2]
    if not linear:
        return 'head unknown'
    widths = [linear[0][1], *(shape[0] for shape in linear)]
    norms = 'with' if any(len(shape) == 1 for shape in layers.values()) else 'without'
    return f'head {" -> ".join(map(str, widths))} ({norms} batch norm)'


def _parts_of(state: Mapping[str, np.ndarray]) -> str:
    """'50 parts' and, where the head embeds them as Point-MAE's does, '16 categories'."""
    last = max((k for k in state if LAST.search(k)), key=lambda k: k.split('.')[-2], default=None)
    embedding = next((k for k in state if 'label_conv' in k and k.endswith('0.weight')), None)
    found = [f'{state[embedding].shape[1]} categories'] if embedding else []
    return ', '.join([*found, f'{len(state[last])} parts' if last else 'parts unknown'])


def _parts(state: Mapping[str, np.ndarray]) -> list[dict[str, object]]:
    """A row for each part: its keys, and its parameters without statistics."""
    parts: dict[str, dict[str, np.ndarray]] = collections.defaultdict(dict)
    wrappers = {
        prefix
        for name in plugins.available('backbones')
        for prefix in plugins.load('backbones', name).BACKBONE.prefixes
    }
    for name, value in without_module(state).items():
        prefix = next((p for p in wrappers if name.startswith(p)), '')
        parts[prefix + name.removeprefix(prefix).split('.')[0]][name] = value
    rows = [{'part': p, 'keys': len(v), 'parameters': _count(v)} for p, v in parts.items()]
    return [*rows, {'part': 'all', 'keys': len(state), 'parameters': _count(state)}]


def _count(state: Mapping[str, np.ndarray]) -> int:
    return sum(value.size for key, value in state.items() if _is_parameter(key))


def _is_parameter(key: str) -> bool:
    return not key.endswith(STATISTICS)


def _row(candidate: Candidate) -> dict[str, object]:
    fit = candidate.fit
    return {
        'backbone': candidate.backbone,
        'variant': candidate.variant,
        'below': fit.report.prefix or '-',
        'match': len(fit.report.loaded),
        'new': len(fit.report.new),
        'left': len(fit.report.left),
        'missing': len(fit.missing),
        'unexpected': len(fit.unexpected),
        'other shape': len(fit.misshapen),
        'fits': candidate.fits,
    }


def _outcome(candidate: Candidate, keys: bool) -> list[str]:
    """What a load would do."""
    report = candidate.fit.report
    lines = [f'{candidate.backbone} ({candidate.variant}): {report.parameters:,} parameters fit']
    for what, which in (('match', report.loaded), ('new', report.new), ('left', report.left)):
        lines.append(f'  {what}: {summary(which)}')
        lines += [f'    {key}' for key in which] if keys else []
    return lines


def _complaint(candidate: Candidate, keys: bool) -> list[str]:
    """Why the nearest backbone does not fit."""
    problems = candidate.fit.problems
    shown = problems if keys else problems[:PROBLEMS_SHOWN]
    hidden = len(problems) - len(shown)
    return [
        f'The nearest is {candidate.backbone} ({candidate.variant}):',
        *(f'  - {problem}' for problem in shown),
        *([f'  and {hidden} more; --keys shows all'] if hidden else []),
    ]
