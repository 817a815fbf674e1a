"""Classification by text features of class names: the file, the head, and the whole command."""

import pathlib

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from point_ft_jax import models
from point_ft_jax.checkpoints import torch_file
from point_ft_jax.commands import _zero_shot, predict
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files import text_features
from point_ft_jax.experiments import build
from point_ft_jax.experiments.config import default
from point_ft_jax.models import create_model, zero_shot

SMALL = {'width': 12, 'heads': 2, 'depth': 1, 'num_groups': 8, 'group_size': 4, 'aligned_width': 5}
TEXTS = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
NAMES = ('cup', 'pot', 'lamp')


@pytest.mark.parametrize('backbone', ['uni3d', 'recon_pp'])
def test_logits_are_cosines_with_the_texts_times_the_scale(backbone: str) -> None:
    model = zero_shot.by_text(create_model(backbone, 2, geometry=SMALL), 3)
    variables = model.init(jax.random.key(0))
    variables['params']['head'] = zero_shot.text_head(7 * TEXTS, np.log(20))
    clouds = np.random.default_rng(1).uniform(-1, 1, (2, 16, 6)).astype(np.float32)
    places = np.asarray(model.module.apply(variables, clouds, method='features'))
    assert places.shape == (2, 5)
    cosines = places @ TEXTS.T
    cosines /= np.linalg.norm(places, axis=1)[:, None] * np.linalg.norm(TEXTS, axis=1)
    logits = model.module.apply(variables, clouds)
    np.testing.assert_allclose(logits, 20 * cosines, rtol=1e-5, atol=1e-5)


def test_a_backbone_without_a_space_of_texts_is_refused() -> None:
    with pytest.raises(UserError, match='PointTransformer has no space of texts'):
        zero_shot.by_text(create_model('point_mae', 2), 3)
    model = create_model('point_mae', 2, geometry={'depth': 1}, readout=('aligned',))
    with pytest.raises(UserError, match="readout 'aligned': expected one or more of cls"):
        model.shapes()


def write(folder: pathlib.Path, features: np.ndarray, names: tuple[str, ...]) -> pathlib.Path:
    path = folder / 'texts.npz'
    np.savez(path, features=features, classes=np.array(names))
    return path


def test_text_features_come_from_an_archive_or_an_array_with_names(tmp_path: pathlib.Path) -> None:
    features, names = text_features.read(write(tmp_path, TEXTS.astype(np.float16), NAMES))
    assert (features.dtype, names) == (np.float32, NAMES)
    np.save(tmp_path / 'own.npy', TEXTS)
    with pytest.raises(UserError, match='needs the class names of its rows, one a line'):
        text_features.read(tmp_path / 'own.npy')
    (tmp_path / 'own.txt').write_text('cup\npot\nlamp\n')
    np.testing.assert_array_equal(text_features.read(tmp_path / 'own.npy')[0], TEXTS)


@pytest.mark.parametrize(
    ('features', 'names', 'message'),
    [
        (TEXTS, NAMES[:2], '3 rows and 2 names'),
        (TEXTS, ('cup', 'cup', 'pot'), 'a class name occurs twice'),
        (TEXTS[None], NAMES, r'float32 \[1, 3, 5\]; expected real numbers \[classes, width\]'),
        (0 * TEXTS, NAMES, 'a row is zero or not finite'),
    ],
)
def test_wrong_text_features_are_refused(
    features: np.ndarray, names: tuple, message: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match=message):
        text_features.read(write(tmp_path, features, names))


def test_an_archive_without_classes_says_what_it_has(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / 'a.npz', x=TEXTS)
    with pytest.raises(UserError, match="has x and no features, classes; expected 'features'"):
        text_features.read(tmp_path / 'a.npz')


def test_files_are_classified_by_text(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The likeliest class of a cloud is the one whose text is its own place."""
    published = create_model('uni3d', 2, geometry=SMALL)
    monkeypatch.setattr(_zero_shot, 'form_of', lambda *_: published)
    variables = published.init(jax.random.key(0))
    state = {f'point_encoder.{key}': v for key, v in published.export(variables).items()}
    state = {key: v for key, v in state.items() if 'cls_head' not in key}
    torch_file.write(tmp_path / 'uni3d.pt', {**state, 'logit_scale': np.log(np.float32(50))})
    clouds = np.random.default_rng(1).uniform(-0.6, 0.6, (2, 16, 6)).astype(np.float32)
    clouds[..., 3:] = np.abs(clouds[..., 3:])
    for index, cloud in enumerate(clouds):
        np.save(tmp_path / f'{index}.npy', cloud)
    by_text = zero_shot.by_text(published, 2)
    places = by_text.module.apply(variables, clouds, method='features')
    texts = write(tmp_path, np.asarray(places)[::-1], ('second', 'first'))
    rows, _ = predict.predict_by_text(
        str(tmp_path / 'uni3d.pt'),
        [str(tmp_path / f'{index}.npy') for index in range(2)],
        str(texts),
        channels=('color',),
    )
    assert [row['classes'][0] for row in rows] == ['first', 'second']
    expected = 1 / (1 + np.exp(-50 * (1 - _cosine(*np.asarray(places)))))
    np.testing.assert_allclose(rows[0]['probabilities'][0], expected, rtol=1e-3)
    with pytest.raises(UserError, match=r'of width 4; the space of .* has 5'):
        predict.predict_by_text(
            str(tmp_path / 'uni3d.pt'),
            [str(tmp_path / '0.npy')],
            str(write(tmp_path, TEXTS[:, :4], NAMES)),
        )


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_tuning_from_text_features_starts_as_classification_by_text(tmp_path: pathlib.Path) -> None:
    """The head of a config with text features is theirs, in the order of the data's classes."""
    config = default()
    config.model.update(backbone='uni3d', geometry=ConfigDict(SMALL))
    config.method.name = 'linear_probe'
    config.init.text_features = str(write(tmp_path, TEXTS, NAMES))
    model = build.build_model(config, 2)
    assert models.build(model.spec).module == model.module
    variables, line = build.load_start(config, model, 0, ('lamp', 'cup'))
    head = variables['params']['head']
    np.testing.assert_array_equal(head['kernel'], TEXTS[[2, 0]].T)
    assert head['log_scale'] == np.float32(np.log(100))
    assert 'the head from ' in line
    assert trees.flatten(trees.select(variables['params'], model.trainable))['head/kernel']
    with pytest.raises(UserError, match='has no text features of sofa; it has those of cup, pot'):
        build.load_start(config, model, 0, ('sofa', 'cup'))
    config.model.backbone = 'recon'
    config.model.geometry = ConfigDict({'depth': 1})
    with pytest.raises(UserError, match='recon has no space of texts'):
        build.build_model(config, 2)
