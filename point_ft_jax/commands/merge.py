"""Folds a tuner into its backbone: the same outputs, at the cost of the backbone alone.

python run.py --config=configs/recon_dapt.py --config.method.name=lora --config.folder=runs/lora
point-ft merge runs/lora merged
    writes the run's model, merged, as a run of its own
point-ft merge runs/lora merged.pth
    writes it as a PyTorch checkpoint
"""

import dataclasses
from collections.abc import Sequence

from point_ft_jax.core import flags, trees
from point_ft_jax.experiments import command_line
from point_ft_jax.methods import merge


def merge_run(run: str, out: str, backbone: str | None = None) -> str:
    """Writes the merged model of a run to `out`, a folder or a .pth file; says what it wrote.

    The folder is a run of method 'full' for every other command.

    Args:
        run, backbone: see `checkpoints.run.load_run`.
        out: where to; a folder must not be there yet.

    Raises:
        UserError: no run, a method that cannot be folded, or a folder that is there.
    """
    from point_ft_jax.checkpoints import run as saved
    from point_ft_jax.checkpoints import torch_file

    if out.endswith('.pth'):
        command_line.check_target(out)
    else:
        saved.check_new(out)
    merged = merge(saved.load_run(run, backbone))
    size = f'{trees.count(merged.variables["params"]):,} parameters'
    if out.endswith('.pth'):
        state = merged.model.export(merged.variables)
        torch_file.write(out, state, classes=list(merged.classes))
        return command_line.written(out, f'{len(state)} keys, {size}')
    metadata = {**merged.metadata, 'merged_from': run}
    saved.save(dataclasses.replace(merged, metadata=metadata), out)
    return command_line.written(out, size)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = flags.parser('merge', __doc__)
    parser.add_argument('run', help="a run's folder, or a delta's")
    parser.add_argument('out', help='a new folder, or a .pth file')
    parser.add_argument('--backbone', help='a .pth or a run that holds the backbone of a delta')
    options = parser.parse_args(arguments)
    command_line.start()
    print(merge_run(options.run, options.out, options.backbone))
