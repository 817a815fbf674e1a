"""Figures hold any name of a class."""

import numpy as np
import pytest

from point_ft_jax.evaluation.metrics import Evaluation
from point_ft_jax.reports.classification import plot_confusion
from point_ft_jax.reports.figures import png

NAMES = {
    'a formula that is none': ('$_{$ lamp', 'x$\\bad$', '$$'),
    'other scripts': ('椅子', 'стол', 'كرسي'),
    'odd signs': ('a_b^c', '100 % {wood}', '🪑'),
}


@pytest.mark.parametrize('names', NAMES.values(), ids=NAMES)
def test_names_of_classes_are_drawn_as_they_are(names: tuple[str, ...]):
    figure = plot_confusion(names, [Evaluation(1, np.eye(3, dtype=int))])
    figure.axes[0].set_title(names[0])
    figure.axes[0].plot([0, 1], [0, 1], label=names[1])
    figure.axes[0].legend()
    assert len(png(figure, 50)) > 500
