"""Clouds that a run is evaluated on are compared with those that it was trained on."""

import pathlib

import jax
import numpy as np
import pytest
from small import CLASSES, build, split

from point_ft_jax import TunedModel, save
from point_ft_jax.commands import evaluate
from point_ft_jax.data.likeness import measures
from point_ft_jax.experiments.config import default, own_clouds


@pytest.mark.slow
def test_own_clouds_are_cut_as_those_of_the_training_and_compared(tmp_path: pathlib.Path) -> None:
    model, run = build('linear_probe'), tmp_path / 'run'
    known = measures(split(6, 0, points=64).points)
    facts = {'classes': list(CLASSES), 'points': 32, 'checkpoint': '', **known}
    save(TunedModel(model, model.init(jax.random.key(0)), facts), run)
    config = default()
    config.data = own_clouds()
    config.data.update(root=str(tmp_path / 'own'), normalize=False)
    for scale, note in ((1, False), (1000, True)):
        clouds = split(6, 1, points=200)
        for number, (cloud, label) in enumerate(zip(clouds.points, clouds.labels, strict=True)):
            file = tmp_path / 'own' / 'test' / CLASSES[label] / f'{number}.npy'
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, scale * cloud)
        text = evaluate.evaluated(str(run), config, 16)
        assert '6 clouds of the test split, 32 points each' in text
        assert 'points, trained on' not in text  # 64 of their 200 are kept
        assert (f'note: unlike what {run} was trained on: 6 of 6, the first with' in text) == note
    assert config.data.num_points is None
