"""What weights say themselves of the model that they were made as."""

import json
import pathlib
from collections.abc import Mapping

from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints import shipped, spec_file, weights
from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.json_files import read_json
from point_ft_jax.models.spec import Spec, from_json

ENTRY = 'spec'  # of a .pth, or of the metadata of a .safetensors file: a spec's JSON as text


def read(source: str | None) -> Spec | None:
    """The spec of the model that the weights at `source` are of; None where it is not recorded.

    Args:
        source: the folder of a run or of a delta, a .pth or .safetensors file, or 'shipped:NAME';
            None or '' for random weights.

    Raises:
        UserError: nothing there, nothing that can be read, or a record of a newer version.
    """
    if not source:
        return None
    if pathlib.Path(source).expanduser().is_dir():
        folder = saved.find(source)
        facts = folder / saved.FACTS
        return spec_file.read(folder, read_json(facts) if facts.exists() else {})
    if source.startswith(shipped.SHIPPED):
        return _of_shipped(source)
    return of_entries(source, weights.read(shipped.locate(source)).beside)


def points(source: str) -> int | None:
    """How many points of a cloud the run in the folder `source` saw; None if that is not known."""
    if not pathlib.Path(source).expanduser().is_dir():
        return None
    facts = saved.find(source) / saved.FACTS
    return read_json(facts).get('points') if facts.exists() else None


def of_entries(source: str, beside: Mapping[str, object]) -> Spec | None:
    """The spec of what is read, from what it holds beside its weights; see `read`."""
    if source.startswith(shipped.SHIPPED):
        return _of_shipped(source)
    if not isinstance(text := beside.get(ENTRY), str):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f'the entry {ENTRY!r} of {source} is no JSON ({error})') from None
    return from_json(value, f'the entry {ENTRY!r} of {source}')


def _of_shipped(source: str) -> Spec:
    path = pathlib.Path(shipped.locate(source)).with_suffix('.json')
    return from_json(read_json(path), str(path))


def accepts(made: Spec, backbone: str) -> bool:
    """Whether a model with the backbone may start from weights whose record is `made`."""
    return backbone == made.backbone or (
        made.backbone in plugins.load('backbones', backbone).BACKBONE.starts_from
    )


def check_backbone(source: str, made: Spec | None, backbone: str) -> None:
    """Raises UserError if the record of `source`, `made`, is of another backbone than the model.

    Names and shapes do not tell all backbones apart: those of a ReCon in one stream are a
    Point-MAE's. A backbone that is published to start from another's weights may.
    """
    if made is None or accepts(made, backbone):
        return
    raise UserError(
        f'{source} holds the backbone {made.backbone}, by its own record, and the model is to be '
        f'{backbone}: choose {made.backbone} (in the shell --config.model.backbone='
        f'{made.backbone}), or weights of {backbone} (--config.init.checkpoint=FILE; with nothing '
        'behind the =, random ones)'
    )


def entry(spec: Spec) -> dict[str, str]:
    """What a file keeps beside the weights of a spec's model."""
    return {ENTRY: json.dumps(spec.to_json(), sort_keys=True)}
