"""Files are made like the training clouds before they are predicted."""

import pathlib
from typing import Any

import jax
import numpy as np
import pytest
from small import CLASSES, build, split

from point_ft_jax import TunedModel, load_run, predict, save
from point_ft_jax.commands import predict as command
from point_ft_jax.core.trees import Variables
from point_ft_jax.data.likeness import measures
from point_ft_jax.data.normalize import draw, unit_sphere
from point_ft_jax.models import Model

CLOUDS = split(6, 0, points=64).points


@pytest.fixture(scope='module')
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """One model, saved as trained on clouds as they were, and on the same in the unit sphere."""
    model = build('linear_probe')
    variables = model.init(jax.random.key(0))
    folder = tmp_path_factory.mktemp('runs')
    for name, points in {'raw': CLOUDS, 'unit': unit_sphere(CLOUDS)}.items():
        facts: dict[str, Any] = {'classes': list(CLASSES), 'points': 32, 'checkpoint': ''}
        save(TunedModel(model, variables, {**facts, **measures(points)}), folder / name)
    return {name: folder / name for name in ('raw', 'unit')}


def predicted(run: pathlib.Path, folder: pathlib.Path) -> dict[str, tuple[list[float], str]]:
    """Of each file the probabilities by label, and what is warned of."""
    rows, _ = command.predict_files(str(run), [str(folder)], top=3)
    return {
        pathlib.Path(row['file']).stem: (
            [row['probabilities'][row['classes'].index(name)] for name in CLASSES],
            row['warning'],
        )
        for row in rows
    }


def test_files_are_made_like_the_clouds_of_the_training(runs, tmp_path) -> None:
    """As many points are drawn of a larger one; where those were normalised, so is each."""
    large = np.random.default_rng(0).normal(size=(500, 3)) * 0.4
    millimetres = 1000 * CLOUDS[0].astype(np.float64) + 5e4
    files = {'large': large, 'mm': millimetres, 'fewer': CLOUDS[0, :48], 'few': CLOUDS[0, :20]}
    for name, cloud in files.items():
        np.save(tmp_path / f'{name}.npy', cloud)
    raw, unit = (predicted(runs[name], tmp_path) for name in ('raw', 'unit'))
    alike = np.stack([draw(large, 'large.npy', 64, seed=0), unit_sphere(CLOUDS[:1])[0]])
    expected = predict(TunedModel(*tuned(runs['raw']), {'points': 32, 'classes': CLASSES}), alike)
    np.testing.assert_allclose([raw['large'][0], unit['mm'][0]], expected, rtol=1e-4)
    assert 'points' not in raw['large'][1]
    assert '--normalize' in raw['mm'][1]
    assert raw['fewer'][1] == unit['fewer'][1] == '48 points, trained on 64'
    assert raw['few'][1] == '20 points, of which the model takes 32: they are repeated'
    assert unit['mm'][1] == ''


def tuned(run: pathlib.Path) -> tuple[Model, Variables]:
    """A saved model and its variables, without what is known of its clouds."""
    loaded = load_run(run)
    return loaded.model, loaded.variables
