"""Writes a run's model as a PyTorch checkpoint, under the names of the reference it stems from.

python -m point_ft_jax.export runs/recon_dapt model.pth
python -m point_ft_jax.export delta model.pth --backbone=recon.pth
"""

import argparse
from collections.abc import Sequence

from point_ft_jax import command_line


def export(run: str, path: str, backbone: str | None = None) -> int:
    """Writes the chosen epoch of `run` to `path`, readable by `torch.load`; gives the keys written.

    Raises:
        UserError: no run, a method without PyTorch names, or a delta over another backbone.
    """
    from point_ft_jax import saved, torch_file

    loaded = saved.load(run, backbone, job=None)
    state = loaded.model.export(loaded.variables)
    torch_file.write(path, state, classes=list(loaded.facts['classes']))
    return len(state)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m point_ft_jax.export',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('run', help="a run's folder, or a delta's")
    parser.add_argument('--backbone', help='a .pth or a run that holds the backbone of a delta')
    parser.add_argument('path', help='the .pth file to write')
    options = parser.parse_args(arguments)
    command_line.start()
    keys = export(options.run, options.path, options.backbone)
    print(f'{options.path}: {keys} keys')


if __name__ == '__main__':
    command_line.guarded(main)
