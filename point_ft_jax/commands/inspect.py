"""Says what a checkpoint is: which backbones a file can be loaded into, and what tuned it.

    point-ft inspect shipped:recon_tiny
    point-ft inspect FILE [--keys] [--key=net] [--prefix=student.]
    python run.py --config=configs/recon_dapt.py
    point-ft inspect runs/recon_dapt

Prints of a .pth or .safetensors file what it holds, its parameters by part, how it fits each
backbone half of whose names it has, and what a load would take, leave and miss; of the folder of a
run or of a delta what model it is; and how either is used. Ends with status 0 if a backbone, or a
method on one, fits, with 1 if none does, with 2 if nothing can be read. No code in it is run.
"""

import collections
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from point_ft_jax.checkpoints import record, shipped, weights
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints.weights import Weights
from point_ft_jax.commands import _tuned_by
from point_ft_jax.commands._candidates import SEGMENTATION, Candidate, candidates
from point_ft_jax.core import flags, plugins
from point_ft_jax.core.inert_pickle import Opaque, shown
from point_ft_jax.models.model import Model
from point_ft_jax.models.spec import Spec
from point_ft_jax.models.torch_names import COUNTER, summary, without_module
from point_ft_jax.reports import tables

STATISTICS = ('running_mean', 'running_var', COUNTER)
HEAD = 'cls_head_finetune.'
LAST = re.compile(r'\bconvs?\d(_cls)?\.weight$')  # the maps of a segmentation head
PROBLEMS_SHOWN = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with its arguments (those of the process by default); returns its status."""
    parser = flags.parser('inspect', __doc__)
    parser.add_argument('file', help="a .pth or .safetensors file, shipped:NAME, or a run's folder")
    parser.add_argument('--keys', action='store_true', help='list every key, not only their number')
    parser.add_argument('--key', help='the entry that holds the weights, where it is not found')
    parser.add_argument(
        '--prefix', default='', help="what the names of the weights begin with, such as 'student.'"
    )
    options = parser.parse_args(argv)
    if pathlib.Path(options.file).expanduser().is_dir():
        print(describe_run(options.file))
        return 0
    found = weights.read(shipped.locate(options.file), options.key, options.prefix)
    text, status = describe(options.file, found, options.keys)
    print(text)
    return status


def describe_run(folder: str) -> str:
    """What is known of a run, of one of its seeds, or of a delta; and what to do with it.

    Raises:
        UserError: it is the folder of none.
    """
    place = saved.find(folder)
    if not (place / saved.FACTS).exists():
        delta = saved.read_delta(folder)
        start = delta.metadata.get('checkpoint') or 'random weights'
        return '\n'.join(
            [
                f'{folder}: a delta, {_of(delta.model)}, of {_classes(delta.metadata)}',
                f'it belongs to a copy of the backbone that its run started from: {start}',
                f'evaluate it with: point-ft evaluate --checkpoint={folder} --backbone=FILE',
            ]
        )
    run = saved.load_run(folder, pretrained=True)
    total, trains = (sum(pair[i] for pair in run.parameters.values()) for i in (0, 1))
    pretrained = not hasattr(run.model.spec, 'method')
    use = (
        _how_to_fine_tune(folder, run.model.spec.backbone)
        if pretrained
        else f'evaluate it with: point-ft evaluate --checkpoint={folder}'
    )
    scores = ', '.join(f'{name} {100 * value:.2f} %' for name, value in run.scores.items())
    what = f'a pre-trained {_of(run.model)}' if pretrained else f'a run: {_of(run.model)}'
    return '\n'.join(
        [
            f'{folder}: {what}, of {_classes(run.metadata)}',
            f'{total:,} parameters, of which {trains:,} trained; clouds of '
            f'{run.metadata["points"]:,} points',
            f'started from {run.metadata.get("checkpoint") or "random weights"}',
            *([f'at its best epoch: {scores}'] if scores else []),
            use,
        ]
    )


def _how_to_fine_tune(source: str, backbone: str) -> str:
    """The command that starts from weights with a record, on clouds of one's own."""
    other = '' if backbone == 'recon' else f'--config.model.backbone={backbone} '
    return (
        'fine-tune it with: python run.py --config=configs/recon_dapt.py:own '
        f'--config.data.root=FOLDER {other}--config.init.checkpoint={source}'
    )


def _of(model: Model) -> str:
    spec = model.spec
    method = getattr(spec, 'method', '')
    tuned = f', method {method}' if method else ''
    return f'{spec.backbone} ({spec.variant}){tuned}'


def _classes(metadata: Mapping[str, Any]) -> str:
    names = list(metadata.get('classes', ()))
    more = ', …' if len(names) > 4 else ''
    return f'{len(names)} classes ({", ".join(map(str, names[:4]))}{more})'


def describe(source: str, read: Weights, keys: bool = False) -> tuple[str, int]:
    """What is known of a file's weights, as text; and 0 if a backbone fits them, else 1.

    With `keys` every key is listed.
    """
    state, made = read.state, record.of_entries(source, read.beside)
    found = candidates(state)
    likely = [c for c in found if made is None or record.accepts(made, c.backbone)]
    fitting = [candidate for candidate in likely if candidate.fits]
    tuned = [] if fitting else _tuned(source, state, likely)
    lines = [_headline(source, read), *tuned, '', tables.text(_parts(state)), '']
    if found:
        lines += [tables.text([_row(candidate, candidate in likely) for candidate in found]), '']
    for candidate in fitting:
        lines += _outcome(candidate, keys)
    if tuned:
        return '\n'.join(lines).rstrip(), 0
    if fitting:
        classes = _outputs(state)
        lines += _tuned_by.how_to_evaluate(source, 'full', fitting[0].backbone, classes)
    if fitting and made:
        lines.append(_how_to_fine_tune(source, fitting[0].backbone))
    if not fitting:
        lines += ['It fits none of the backbones: ' + ', '.join(plugins.available('backbones'))]
    if not fitting and found:
        lines += _complaint(found[0], keys)
    return '\n'.join(lines), 0 if fitting else 1


def _tuned(source: str, state: Mapping[str, np.ndarray], found: Sequence[Candidate]) -> list[str]:
    """Which method tuned what backbone, and how to evaluate it; [] where none accounts for it."""
    tuned = {c: method for c in found if (method := _tuned_by.method_of(c.fit))}
    if not tuned:
        return []
    first, method = next(iter(tuned.items()))
    others = [c.backbone for c in tuned if c is not first and tuned[c] == method]
    graph = f'; {", ".join(others)} would take it too, having one graph' if others else ''
    classes = _outputs(state)
    told = f', {classes} classes' if classes else ''
    return [
        f'tuned by {method}: {first.backbone} ({first.variant}){told}{graph}',
        *_tuned_by.how_to_evaluate(source, method, first.backbone, classes),
    ]


def _outputs(state: Mapping[str, np.ndarray]) -> int | None:
    """How many classes a classification head tells apart; None without one."""
    widths = _head_widths(without_module(state))
    return widths[-1] if widths else None


def _headline(source: str, read: Weights) -> str:
    state, beside = read.state, read.beside
    made = record.of_entries(source, beside)
    recorded = [f'made as {_recorded(made)}, by its own record'] if made else []
    written = [f'written by {read.project}; named here as the reference names it']
    types = sorted({str(value.dtype) for key, value in state.items() if _is_parameter(key)})
    scalars = (bool, int, float, str)
    others = [
        f'{k} {shown(v)}'
        if isinstance(v, scalars)
        else f'{k} ({v.name})'
        if isinstance(v, Opaque)
        else str(k)
        for k, v in beside.items()
        if k != record.ENTRY
    ]
    first = next(iter(state), '').partition('.')[0] + '.'
    wrapped = f', all below {first!r}' if all(k.startswith(first) for k in state) else ''
    return '\n'.join(
        [
            f'{source}: {_form([key.replace("module.", "") for key in state], state)}',
            f'{len(state):,} keys, {_count(state):,} parameters of {", ".join(types)}{wrapped}',
            f'beside the weights: {", ".join(others) or "nothing"}',
            *(written if read.project else []),
            *recorded,
        ]
    )


def _recorded(spec: Spec) -> str:
    """'recon (tiny), num_groups 32, group_size 32'."""
    fields = (f'{name} {value}' for name, value in spec.geometry.items() if name != 'memory')
    method = getattr(spec, 'method', '')
    tuned = [f'tuned by {method}'] if method else []
    return ', '.join([f'{spec.backbone} ({spec.variant})', *tuned, *fields])


def _form(keys: Sequence[str], state: Mapping[str, np.ndarray]) -> str:
    """What was trained, by the keys beside the backbone's."""
    if any(HEAD in key for key in keys):
        return f'a fine-tuned classifier, {_head(state)}'
    if any(key.startswith(SEGMENTATION) for key in keys):
        return f'a fine-tuned segmentation model, {_parts_of(state)}'
    if any('mask_token' in key for key in keys):
        return 'a pre-training checkpoint'
    return 'weights without a head or a decoder'


def _head(state: Mapping[str, np.ndarray]) -> str:
    """'head 768 -> 256 -> 15 (with batch norm)'; the last is the number of classes."""
    widths = _head_widths(state)
    if not widths:
        return 'head unknown'
    norms = 'with' if any(len(shape) == 1 for shape in _head_shapes(state)) else 'without'
    return f'head {" -> ".join(map(str, widths))} ({norms} batch norm)'


def _head_shapes(state: Mapping[str, np.ndarray]) -> list[tuple[int, ...]]:
    """The shapes of a classification head's weights, from its input on."""
    layers = {
        int(key.split('.')[-2]): value.shape
        for key, value in state.items()
        if HEAD in key and key.endswith('.weight') and key.split('.')[-2].isdecimal()
    }
    return [shape for _, shape in sorted(layers.items())]


def _head_widths(state: Mapping[str, np.ndarray]) -> list[int]:
    """What a classification head reads, its hidden widths and the classes; [] without one."""
    linear = [shape for shape in _head_shapes(state) if len(shape) == 2]
    return [linear[0][1], *(shape[0] for shape in linear)] if linear else []


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


def _row(candidate: Candidate, likely: bool) -> dict[str, object]:
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
        'fits': candidate.fits if likely else 'no, by its record',
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
