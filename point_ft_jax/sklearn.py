"""Fine-tuning in scikit-learn's manner: an estimator for `cross_val_score`, grids and pipelines.

from point_ft_jax.sklearn import PointCloudClassifier
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike  # quoted in signatures: help() then shows its name
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.checks import check_clouds
from point_ft_jax.data.normalize import unit_sphere
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation.predictions import features, predict
from point_ft_jax.models import build
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.training.finetune import BATCH, finetune


class PointCloudClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of clouds [S, N, 3 + F] that fine-tunes a pre-trained point transformer.

    Its parameters are those of `point_ft_jax.finetune`, under the same names, and:

    Args:
        normalize: centre every cloud and scale it to the unit sphere, in fitting and predicting.
        channels: the names of the F columns after x, y, z.
        random_state: the seed, an integer.

    Attributes:
        classes_: [C] the classes, sorted.
        tuned_: the `TunedModel`, with its history.

    `fit` raises a `UserError`, a ValueError, for whatever does not fit; see `finetune`. A fitted
    estimator can be pickled.

    Examples:
        >>> import numpy as np
        >>> from sklearn.model_selection import cross_val_score
        >>> from point_ft_jax.sklearn import PointCloudClassifier
        >>> clouds = np.random.default_rng(0).normal(size=(24, 64, 3))
        >>> clouds[::2] *= (3, 1, 1)  # every second one is long
        >>> names = np.array(['long', 'round'] * 12)
        >>> classifier = PointCloudClassifier(
        ...     method='linear_probe', checkpoint=None, epochs=2, batch_size=8,
        ...     geometry={'num_groups': 8, 'depth': 1},
        ... )
        >>> cross_val_score(classifier, clouds, names, cv=2).shape
        (2,)
    """

    def __init__(
        self,
        method: str = 'dapt',
        *,
        method_options: Mapping[str, object] | None = None,
        backbone: str | None = None,
        variant: str | None = None,
        checkpoint: str | None = 'shipped:recon_tiny',
        geometry: Mapping[str, object] | None = None,
        validation: float = 0.1,
        epochs: int = 20,
        batch_size: int | None = None,
        lr: float = 5e-4,
        augment: str = 'scale_translate',
        class_weights: Sequence[float] | str | None = None,
        patience: int | None = None,
        normalize: bool = True,
        channels: Sequence[str] = (),
        progress: bool = False,
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.method_options = method_options
        self.backbone = backbone
        self.variant = variant
        self.checkpoint = checkpoint
        self.geometry = geometry
        self.validation = validation
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.augment = augment
        self.class_weights = class_weights
        self.patience = patience
        self.normalize = normalize
        self.channels = channels
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: 'ArrayLike', y: 'ArrayLike') -> 'PointCloudClassifier':
        """This estimator, fine-tuned on clouds X [S, N, 3 + F] of classes y [S]."""
        X, y = self._clouds(X, y, reset=True)
        check_classification_targets(y)
        self.classes_, labels = np.unique(column_or_1d(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise UserError(
                f'y has one class, {str(self.classes_[0])!r}; expected two or more to tell apart'
            )
        split = Split.from_arrays(X, labels, list(map(str, self.classes_)), channels=self.channels)
        options = self.get_params(deep=False)
        for name in ('normalize', 'channels'):
            del options[name]
        self.tuned_ = finetune(
            split, task='classification', seed=options.pop('random_state'), **options
        )
        return self

    def predict_proba(self, X: 'ArrayLike') -> np.ndarray:
        """Probabilities [S, C] of clouds X [S, N, 3 + F], in the order of `classes_`."""
        check_is_fitted(self)
        return predict(self.tuned_, self._clouds(X), batch_size=self.batch_size or BATCH)

    def predict(self, X: 'ArrayLike') -> np.ndarray:
        """The likeliest class of each cloud, [S]."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def transform(self, X: 'ArrayLike') -> np.ndarray:
        """What the head reads of each cloud, [S, features]: for another classifier or a plot."""
        check_is_fitted(self)
        return features(self.tuned_, self._clouds(X), batch_size=self.batch_size or BATCH)

    def _clouds(self, X: 'ArrayLike', *y: 'ArrayLike', reset: bool = False) -> Any:
        # Values and shape are judged by this project's own checks, whose messages name clouds.
        checked = validate_data(
            self,
            X,
            *y,
            reset=reset,
            dtype=None,
            ensure_2d=False,
            allow_nd=True,
            ensure_all_finite=False,
            ensure_min_features=0,
        )
        clouds = checked[0] if y else checked
        width = 3 + len(self.channels)
        if clouds.ndim != 3 or clouds.shape[2] < 3:
            raise UserError(
                f'X has shape {list(clouds.shape)}; expected [clouds, points, {width}]'
                ': reshape your data'
            )
        if self.normalize:
            clouds = unit_sphere(check_clouds(clouds, self.channels))
        return (clouds, *checked[1:]) if y else clouds

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import TransformerTags  # of versions that ask for tags

        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags(preserves_dtype=['float32'])  # it has `transform`
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if tuned := state.pop('tuned_', None):
            fields = {f.name: getattr(tuned, f.name) for f in dataclasses.fields(tuned)}
            state['tuned_fields'] = {**fields, 'model': fields['model'].spec}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        fields = state.pop('tuned_fields', None)
        super().__setstate__(state)
        if fields:  # a module holds functions that can't be pickled; its spec says what it is
            self.tuned_ = TunedModel(**{**fields, 'model': build(fields['model'])})
