"""Writes a run's model: for PyTorch, as safetensors, as a StableHLO program, or as a delta.

python run.py --config=configs/recon_dapt.py
point-ft export runs/recon_dapt model.pth
    a PyTorch checkpoint, under the names of the reference that the model stems from
python run.py --config=configs/recon_dapt.py:full --config.folder=runs/full
point-ft export runs/full model.safetensors --names=torch-pointcloud
    the same values as torch-pointcloud's model has them, which has no tuning methods
point-ft export runs/recon_dapt model.stablehlo
    the forward pass with its weights inside, for any number of clouds (pip install flatbuffers)
point-ft export runs/recon_dapt gift --format=delta --license=apache-2.0
    what tuning added, with a model card: a folder to upload as it is
point-ft export gift tuned.pth --backbone=shipped:recon_tiny
    the whole model again, from a delta and a copy of its backbone
point-ft export runs/full backbone.pth --part=backbone --type=bfloat16
    a part of it, rounded
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from point_ft_jax.core import flags, json_files
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import command_line

if TYPE_CHECKING:
    from point_ft_jax.models.tuned import TunedModel

KEY_HELP = 'the entry of the .pth that holds the weights, where it is not found'
PREFIX_HELP = "what the names of the weights in the .pth begin with, such as 'student.'"
TYPES = ('float32', 'bfloat16')
NAMES = ('reference', 'torch-pointcloud')
# Formats by the ending of the path; a path without one is a folder.
FORMATS = {
    'torch': '.pth',
    'safetensors': '.safetensors',
    'stablehlo': '.stablehlo',
    'onnx': '.onnx',
    'delta': '',
}
NO_ONNX = (
    'ONNX files are not written. The one kept converter of JAX programs, jax2onnx (0.17.1), does '
    'not convert the loop that takes farthest points, and asks for an orbax-checkpoint older than '
    "this project's. Write --format=stablehlo, or the weights for PyTorch, which writes ONNX itself"
)


def export(
    run: str,
    path: str,
    form: str | None = None,
    *,
    backbone: str | None = None,
    part: str | None = None,
    dtype: str = 'float32',
    names: str = 'reference',
    licence: str = '',
    key: str | None = None,
    prefix: str = '',
) -> str:
    """Writes the chosen epoch of `run` to `path`; gives what was written, in a line.

    Args:
        run: its folder, or a delta's.
        path: of the file, or of the folder of a delta.
        form: one of FORMATS; None for that of the path's ending.
        backbone: what a delta lies over; see `checkpoints.run.load_run`.
        part: one part of the tree only, such as 'backbone'; of weights.
        dtype: of the parameters; statistics stay float32; of weights.
        names: whose names weights get, one of NAMES.
        licence: of a delta's model card.
        key, prefix: where the weights are in a .pth file of `backbone`.

    Raises:
        UserError: no run, a format that can't be written, a method without PyTorch names, a delta
            over another backbone, no such part, or a package that is missing.
    """
    from point_ft_jax.checkpoints import record
    from point_ft_jax.checkpoints import run as saved

    form = form or _by_ending(path)
    if form == 'onnx':
        raise UserError(NO_ONNX)
    if form == 'delta':
        return _give_delta(run, path, licence)
    command_line.check_target(path)
    loaded = saved.load_run(run, backbone, pretrained=True, key=key, prefix=prefix)
    if form == 'stablehlo':
        return _write_program(loaded, path)
    state = _weights(loaded, part, dtype, names)
    own = record.entry(loaded.model.spec) if part in (None, 'backbone') else {}
    _write_weights(path, form, state, loaded.classes, own)
    return command_line.written(path, f'{len(state)} keys')


def _by_ending(path: str) -> str:
    ending = pathlib.Path(path).suffix
    found = {'.pt': 'torch', **{end: form for form, end in FORMATS.items()}}.get(ending)
    if found is None:
        listed = ', '.join(end for end in FORMATS.values() if end)
        raise UserError(
            f'{path}: no format has the ending {ending!r}; say which with --format, or end in '
            f'{listed}'
        )
    return found


def _give_delta(run: str, path: str, licence: str) -> str:
    """Writes the folder of a delta; the command that made the run is in its report."""
    from point_ft_jax.checkpoints import delta_folder
    from point_ft_jax.checkpoints import run as saved
    from point_ft_jax.reports.report import RESULT

    result = saved.find(run).parent / RESULT
    command = json_files.read_json(result).get('command', '') if result.is_file() else ''
    files = delta_folder.write(path, saved.read_delta(run), licence, command)
    return command_line.written(path, ', '.join(files))


def _write_program(loaded: 'TunedModel', path: str) -> str:
    from point_ft_jax.checkpoints import program_file

    if not hasattr(loaded.model.spec, 'method'):
        raise UserError('an autoencoder has no forward pass of its own: export a fine-tuned run')
    points = loaded.metadata['points']
    size = program_file.write(path, loaded.model, loaded.variables, points)
    return command_line.written(path, f'{size / 2**20:.1f} MiB, for clouds of {points:,} points')


def _weights(
    loaded: 'TunedModel', part: str | None, dtype: str, names: str
) -> dict[str, np.ndarray]:
    """The arrays to write, by whose names is asked for."""
    from point_ft_jax.models import torch_pointcloud

    variables = loaded.variables
    if part is not None:
        if part not in variables['params']:
            raise UserError(f'no part {part!r}; the model has {", ".join(variables["params"])}')
        variables = {name: {part: tree[part]} for name, tree in variables.items() if part in tree}
    state = loaded.model.export(variables)
    if names == 'torch-pointcloud':
        spec = loaded.model.spec
        if not hasattr(spec, 'method'):
            raise UserError(
                'the decoders of autoencoders have no names of torch-pointcloud here; write those '
                'of the reference'
            )
        if 'tuner' in variables['params']:
            raise UserError(
                f'torch-pointcloud has no tuning methods, and this model has one ({spec.method}): '
                'fold it in with point-ft merge, or write the names of the reference'
            )
        parts = getattr(spec, 'num_parts', None) is not None
        state = torch_pointcloud.from_reference(state, spec.backbone, parts)
    return _rounded(state, dtype)


def _rounded(state: Mapping[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """`state` with its parameters in a type."""
    import ml_dtypes

    to = {'float32': np.float32, 'bfloat16': ml_dtypes.bfloat16}[dtype]
    fixed = ('running_mean', 'running_var', 'num_batches_tracked')
    return {k: v if k.endswith(fixed) else v.astype(to) for k, v in state.items()}


def _write_weights(
    path: str,
    form: str,
    state: Mapping[str, np.ndarray],
    classes: Sequence[str],
    own: Mapping[str, str],
) -> None:
    from point_ft_jax.checkpoints import safetensors_file, torch_file

    if form == 'safetensors':
        safetensors_file.write(path, state, {'classes': json.dumps(list(classes)), **own})
    else:
        torch_file.write(path, state, classes=list(classes), **own)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = flags.parser('export', __doc__)
    parser.add_argument('run', help="a run's folder, or a delta's")
    parser.add_argument('path', help='the file to write, or the folder of a delta')
    parser.add_argument(
        '--format', choices=[*FORMATS], help="what to write; that of the path's ending by default"
    )
    parser.add_argument('--backbone', help='a .pth or a run that holds the backbone of a delta')
    parser.add_argument('--key', help=KEY_HELP)
    parser.add_argument('--prefix', default='', help=PREFIX_HELP)
    parser.add_argument('--part', help='write one part of the model only, such as backbone')
    parser.add_argument('--type', choices=TYPES, default='float32', help='of the parameters')
    parser.add_argument('--names', choices=NAMES, default='reference', help='of the weights')
    parser.add_argument('--license', default='', help="of a delta's model card: apache-2.0, ...")
    options = parser.parse_args(arguments)
    command_line.start()
    print(
        export(
            options.run,
            options.path,
            options.format,
            backbone=options.backbone,
            part=options.part,
            dtype=options.type,
            names=options.names,
            licence=options.license,
            key=options.key,
            prefix=options.prefix,
        )
    )
