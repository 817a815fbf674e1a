"""Classes of clouds by the texts of their names: `predict` without a trained head."""

from collections.abc import Mapping, Sequence

import numpy as np

from point_ft_jax.checkpoints import pretrained
from point_ft_jax.core import plugins, trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import sampling
from point_ft_jax.data.files import text_features
from point_ft_jax.evaluation import inference
from point_ft_jax.models import create_model, zero_shot
from point_ft_jax.models.channels import PLACE
from point_ft_jax.models.model import Model

POINTS = 10_000  # of a cloud, as those that were trained on
SCALE = 'logit_scale'


def classify(
    weights: str,
    features: str,
    clouds: Sequence[np.ndarray],
    swap_yz: bool = False,
    few: str = 'repeat',
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Probabilities [S, C] of clouds [N, 3] or [N, 6], and the C class names.

    Args:
        weights: a published file with a space of texts, or a run's folder that holds such a model.
        features: see `text_features.read`.
        clouds: of any sizes; of more than 10,000 points the farthest are taken.
        swap_yz: exchange y and z, as the published loaders do with clouds whose z axis is up.
        few: 'repeat' or 'refuse' clouds of fewer points than the model takes.

    Raises:
        UserError: files that cannot be read or do not fit, or a cloud with too few points.
    """
    import jax

    texts, classes = text_features.read(features)
    model, variables = _load(weights, texts)
    predict = inference.make_predict(model.module, make_mesh(), 1)
    fewest = model.module.backbone.fewest_points
    small = [str(len(cloud)) for cloud in clouds if len(cloud) < fewest]
    if small and few == 'refuse':
        raise UserError(f'clouds of {", ".join(small)} points; the model takes {fewest} at least')
    clouds = [sampling.repeated(cloud, fewest) for cloud in clouds]
    rows = [predict(variables, _prepared(cloud, swap_yz)) for cloud in clouds]
    return np.asarray(jax.nn.softmax(np.concatenate(rows))), classes


def _prepared(cloud: np.ndarray, swap_yz: bool) -> np.ndarray:
    """[1, n, C], what the model sees of a cloud."""
    if swap_yz:
        cloud = cloud[:, [0, 2, 1, *range(PLACE, cloud.shape[1])]]
    return inference.prepare(cloud[None], min(len(cloud), POINTS))


def _load(weights: str, texts: np.ndarray) -> tuple[Model, dict[str, trees.Tree]]:
    """The model that a file fits, with the texts for a head."""
    state = pretrained.state_dict(weights)
    model = zero_shot.by_text(form_of(state, weights), len(texts))
    width = model.module.backbone.aligned_width
    if texts.shape[1] != width:
        raise UserError(
            f'text features of width {texts.shape[1]}; the space of {weights} has {width}: take '
            'them from the text tower that it was aligned with'
        )
    variables, _ = model.load_backbone(model.shapes(), state, weights)
    scale = next((float(v) for key, v in state.items() if key.endswith(SCALE)), None)
    backbone = {name: {'backbone': tree['backbone']} for name, tree in variables.items()}
    backbone['params']['head'] = zero_shot.text_head(texts, scale)
    return model, backbone


def form_of(state: Mapping[str, np.ndarray], weights: str) -> Model:
    """The model with a space of texts that a file fits; UserError if it fits none."""
    tried = []
    for name in plugins.available('backbones'):
        backbone = plugins.load('backbones', name).BACKBONE
        if not hasattr(backbone.build(), 'aligned_width'):
            continue
        for variant in backbone.variants:
            model = create_model(name, 1, variant=variant)
            if not model.fit_backbone(model.shapes(), state).problems:
                return model
            tried.append(f'{name} ({variant})')
    raise UserError(
        f'{weights} is no model with a space of texts: tried {", ".join(tried)}; see what it is '
        f'with point-ft inspect {weights}'
    )
