"""Folding a tuner into its backbone: the same function, at the price of the backbone alone.

point-ft merge runs/lora merged
    writes the run's model, merged, as a run of its own
point-ft merge runs/lora merged.pth
    writes it as a PyTorch checkpoint
"""

import argparse
import pathlib
from collections.abc import Sequence

from point_ft_jax.core import trees as params
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import command_line
from point_ft_jax.methods import merge


def merge_run(run: str, out: str, backbone: str | None = None) -> str:
    """Writes the merged model of a run to `out`, a folder or a .pth file; says what it wrote.

    The folder is a run of method 'full' for every other command.

    Args:
        run, backbone: see `checkpoints.run.load_run`.
        out: where to; a folder must not be there yet.

    Raises:
        UserError: no run, a method that can not be folded, or a folder that is there.
    """
    from point_ft_jax.checkpoints import delta, torch_file
    from point_ft_jax.checkpoints import run as saved

    loaded = saved.load_run(run, backbone)
    model, variables = merge(loaded.model, loaded.variables)
    size = f'{params.count(variables["params"]):,} parameters'
    if out.endswith('.pth'):
        state = model.export(variables)
        torch_file.write(out, state, classes=list(loaded.metadata['classes']))
        return f'{out}: {len(state)} keys, {size}'
    folder = pathlib.Path(out).expanduser()
    if folder.exists():
        raise UserError(f'{folder} is there already; expected a new folder, or a file NAME.pth')
    metadata = {**loaded.metadata, 'merged_from': run}
    metadata.pop(delta.FINGERPRINT, None)
    chosen = params.map_paths(lambda *_: True, variables['params'])
    delta.save(folder / saved.DELTA, model.spec, variables, chosen, metadata)
    saved.save_metadata(folder, model.spec, metadata)
    return f'{folder}: {size}'


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='point-ft merge',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('run', help="a run's folder, or a delta's")
    parser.add_argument('out', help='a new folder, or a .pth file')
    parser.add_argument('--backbone', help='a .pth or a run that holds the backbone of a delta')
    options = parser.parse_args(arguments)
    command_line.start()
    print(merge_run(options.run, options.out, options.backbone))
