"""What a model starts from: random weights, a file, a run, or the backbone that ships."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import numpy as np

from point_ft_jax.checkpoints import record, shipped, weights
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints.weights import Weights
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.trees import Variables
from point_ft_jax.models import AutoencoderSpec, Model, geometry
from point_ft_jax.models.spec import Spec
from point_ft_jax.models.torch_names import LoadReport

if TYPE_CHECKING:
    from point_ft_jax.models.autoencoders.build import Autoencoder


def load_pretrained(
    model: 'Model | Autoencoder', source: str | None, *, seed: int = 0, head: bool = False
) -> tuple[Variables, LoadReport | None]:
    """The variables to start from, and what the load did; None in its place for random weights.

    A classifier takes its backbone from `source`, an autoencoder everything. What the source lacks
    is drawn from `seed`.

    Args:
        model: see `models.build`.
        source: a .pth or .safetensors file, the folder of a run, or 'shipped:NAME'; None or '' for
            random weights.
        seed: of the random weights.
        head: whether the head comes from `source`, too, which then is the folder of a run on data
            with the same classes. Fine-tuning from a linear probe's head is LP-FT (Kumar et al.,
            ICLR 2022, arXiv 2202.10054).

    Raises:
        UserError: the source is missing, unreadable, or does not fit; it is of another backbone, by
            its own record.

    Examples:
        >>> from point_ft_jax import create_model, load_pretrained
        >>> model = create_model('recon', 15, variant='tiny', method='linear_probe')
        >>> variables, report = load_pretrained(model, 'shipped:recon_tiny')
        >>> len(report.loaded), report.new
        (156, ())
    """
    variables, key = model.shapes(), jax.random.key(seed)
    if head:
        variables = _with_head(variables, source)
    if not source:
        return model.init_missing(key, variables), None
    everything = isinstance(model.spec, AutoencoderSpec)
    load = model.load_all if everything else model.load_backbone
    found = weights_of(str(source))
    made = record.of_entries(str(source), found.beside)
    record.check_backbone(str(source), made, model.spec.backbone)
    variables, report = load(variables, found.state, str(source))
    report = dataclasses.replace(
        report, project=found.project, differs=_differences(made, model.spec)
    )
    return model.init_missing(key, variables), report


def _differences(made: Spec | None, now: Spec) -> str:
    """In what the model differs from the one that the weights' own record says; '' in nothing."""
    if made is None or made.backbone != now.backbone:
        return ''
    return geometry.listed(geometry.differences(made, now))


def _with_head(variables: Variables, source: str | None) -> Variables:
    """`variables` with the head of a run."""
    if not source or not pathlib.Path(source).expanduser().is_dir():
        raise UserError(
            f'a head comes from the folder of a run, and the checkpoint is {source!r}: give a run, '
            'such as that of a linear probe, or set config.init.head to False'
        )
    mine, heads = _heads(variables), _heads(saved.load_run(source).variables)
    own, other = ({path: a.shape for path, a in trees.flatten(h).items()} for h in (mine, heads))
    raise_all(
        [
            f'{path}: {other.get(path, "not there")}; expected {own.get(path, "none")}'
            for path in sorted({*own, *other})
            if own.get(path) != other.get(path)
        ],
        f'the head of {source} does not fit this model:',
    )
    return {
        name: {**tree, 'head': heads[name]} if name in heads else tree
        for name, tree in variables.items()
    }


def _heads(variables: Variables) -> Variables:
    """The heads' own variables."""
    return {name: tree['head'] for name, tree in variables.items() if 'head' in tree}


def state_dict(path: str) -> Mapping[str, np.ndarray]:
    """The weights at `path`, under PyTorch's names; see `weights_of`."""
    return weights_of(path).state


def weights_of(path: str) -> Weights:
    """The weights at `path`, under PyTorch's names, and which project wrote them.

    `path` is a .pth or .safetensors file, the folder of a run (fine-tuned or pre-trained; of its
    chosen epoch), or 'shipped:NAME' for a backbone that comes with this project.

    Raises:
        UserError: nothing there, or nothing that can be read.
    """
    if pathlib.Path(path).expanduser().is_dir():
        run = saved.load_run(path, pretrained=True)
        return Weights(run.model.export(run.variables), record.entry(run.model.spec))
    return weights.read(shipped.locate(path))
