"""Writes a run's model as a PyTorch checkpoint, under the names of the reference it stems from.

point-ft export runs/recon_dapt model.pth
point-ft export delta model.pth --backbone=recon.pth
point-ft export runs/pretrain backbone.pth --part=backbone --type=bfloat16
"""

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from point_ft_jax.experiments import command_line

KEY_HELP = 'the entry of the .pth that holds the weights, where it is not found'
PREFIX_HELP = "what the names of the weights in the .pth begin with, such as 'student.'"
TYPES = ('float32', 'bfloat16')


def export(
    run: str,
    path: str,
    backbone: str | None = None,
    part: str | None = None,
    dtype: str = 'float32',
    key: str | None = None,
    prefix: str = '',
) -> int:
    """Writes the chosen epoch of `run` to `path`, readable by `torch.load`; gives the keys written.

    Args:
        run: its folder, or a delta's.
        path: of the file.
        backbone: what a delta lies over; see `checkpoints.run.load_run`.
        part: one part of the tree only, such as 'backbone'.
        dtype: of the parameters; statistics stay float32.
        key, prefix: where the weights are in a .pth file of `backbone`.

    Raises:
        UserError: no run, a method without PyTorch names, a delta over another backbone, or no such
            part.
    """
    from point_ft_jax.checkpoints import run as saved
    from point_ft_jax.checkpoints import torch_file
    from point_ft_jax.core.errors import UserError

    loaded = saved.load_run(run, backbone, pretrained=True, key=key, prefix=prefix)
    variables = loaded.variables
    if part is not None:
        if part not in variables['params']:
            raise UserError(f'no part {part!r}; the model has {", ".join(variables["params"])}')
        variables = {name: {part: tree[part]} for name, tree in variables.items() if part in tree}
    state = _rounded(loaded.model.export(variables), dtype)
    torch_file.write(path, state, classes=list(loaded.metadata['classes']))
    return len(state)


def _rounded(state: Mapping[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """`state` with its parameters in a type."""
    import ml_dtypes

    to = {'float32': np.float32, 'bfloat16': ml_dtypes.bfloat16}[dtype]
    fixed = ('running_mean', 'running_var', 'num_batches_tracked')
    return {k: v if k.endswith(fixed) else v.astype(to) for k, v in state.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='point-ft export',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('run', help="a run's folder, or a delta's")
    parser.add_argument('--backbone', help='a .pth or a run that holds the backbone of a delta')
    parser.add_argument('--key', help=KEY_HELP)
    parser.add_argument('--prefix', default='', help=PREFIX_HELP)
    parser.add_argument('--part', help='write one part of the model only, such as backbone')
    parser.add_argument('--type', choices=TYPES, default='float32', help='of the parameters')
    parser.add_argument('path', help='the .pth file to write')
    options = parser.parse_args(arguments)
    command_line.start()
    source = {'key': options.key, 'prefix': options.prefix}
    keys = export(options.run, options.path, options.backbone, options.part, options.type, **source)
    print(f'{options.path}: {keys} keys')
