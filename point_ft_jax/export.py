"""Writes a run's model as a PyTorch checkpoint, under the names of the reference it stems from.

python -m point_ft_jax.export runs/recon_dapt model.pth
"""

import argparse
from collections.abc import Sequence

from point_ft_jax import command_line


def export(run: str, path: str) -> int:
    """Writes the chosen epoch of `run` to `path`, readable by `torch.load`; gives the keys written.

    Raises:
        UserError: no run, or a method without PyTorch names.
    """
    from point_ft_jax import saved, torch_file

    loaded = saved.load(run, job=None)
    state = loaded.model.export(loaded.variables)
    torch_file.write(path, state, classes=list(loaded.facts['classes']))
    return len(state)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m point_ft_jax.export',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('run', help="a run's folder")
    parser.add_argument('path', help='the .pth file to write')
    options = parser.parse_args(arguments)
    command_line.start()
    keys = export(options.run, options.path)
    print(f'{options.path}: {keys} keys')


if __name__ == '__main__':
    command_line.guarded(main)
