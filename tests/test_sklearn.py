"""The estimator keeps scikit-learn's rules, as far as they are not about tables."""

import doctest
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import validate_data

from point_ft_jax import sklearn as ours
from point_ft_jax.core.errors import UserError


def small(**changes: object) -> ours.PointCloudClassifier:
    options = {
        **{'method': 'linear_probe', 'checkpoint': None, 'epochs': 2, 'batch_size': 8, 'lr': 1e-2},
        'geometry': {'num_groups': 8, 'depth': 1},
    }
    return ours.PointCloudClassifier(**{**options, **changes})


@pytest.fixture(scope='module')
def data() -> tuple[np.ndarray, np.ndarray]:
    """Long and round clouds."""
    clouds = np.random.default_rng(0).normal(size=(24, 64, 3))
    clouds[::2] *= (6, 1, 1)
    return clouds, np.array(['long', 'round'] * 12)


@pytest.fixture(scope='module')
def fitted(data: tuple[np.ndarray, np.ndarray]) -> ours.PointCloudClassifier:
    return small(epochs=6).fit(*data)


WITHOUT_DATA = (
    'check_do_not_raise_errors_in_init_or_set_params',
    'check_estimator_cloneable',
    'check_estimator_repr',
    'check_estimator_tags_renamed',
    'check_get_params_invariance',
    'check_mixin_order',
    'check_no_attributes_set_in_init',
    'check_parameters_default_constructible',
    'check_set_params',
    'check_valid_tag_types',
)


@pytest.mark.parametrize('check', WITHOUT_DATA)
def test_it_passes_the_checks_of_scikit_learn_that_need_no_data(check: str) -> None:
    getattr(estimator_checks, check)('PointCloudClassifier', small())


class OfTables(ours.PointCloudClassifier):
    """Takes rows [S, F] for clouds of 32 points: scikit-learn's checks make tables only."""

    def _clouds(self, X: object, *y: object, reset: bool = False) -> object:
        checked = validate_data(self, X, *y, reset=reset)
        rows = checked[0] if y else checked
        columns = np.resize(np.arange(rows.shape[1]), 95)
        clouds = np.hstack([rows[:, columns], np.ones((len(rows), 1))]).reshape(-1, 32, 3)
        return (clouds, *checked[1:]) if y else clouds

    def __sklearn_tags__(self) -> object:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = True, False
        return tags


# What these ask is not so here, and why.
NOT_SO: dict[str, str] = {}


@pytest.mark.slow
def test_it_passes_all_checks_of_scikit_learn_on_tables_made_clouds() -> None:
    estimator = OfTables(**small(epochs=3, augment='').get_params())
    estimator_checks.check_estimator(estimator, expected_failed_checks=NOT_SO, on_skip=None)


def test_it_learns_and_answers_in_the_classes_given(
    fitted: ours.PointCloudClassifier, data: tuple[np.ndarray, np.ndarray]
) -> None:
    clouds, names = data
    assert fitted.classes_.tolist() == ['long', 'round']
    chances = fitted.predict_proba(clouds)
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-6)
    assert (fitted.predict(clouds) == fitted.classes_[chances.argmax(axis=1)]).all()
    assert fitted.score(clouds, names) > 0.8
    assert fitted.transform(clouds).shape[0] == 24


def test_the_scale_and_place_of_a_cloud_do_not_matter_when_normalized(
    fitted: ours.PointCloudClassifier, data: tuple[np.ndarray, np.ndarray]
) -> None:
    clouds = data[0]
    np.testing.assert_allclose(
        fitted.predict_proba(1000 * clouds + 500), fitted.predict_proba(clouds), atol=1e-3
    )


def test_a_fitted_estimator_survives_pickling(
    fitted: ours.PointCloudClassifier, data: tuple[np.ndarray, np.ndarray]
) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(data[0]), fitted.predict_proba(data[0]))


def test_parameters_are_those_given_and_a_clone_is_not_fitted(
    fitted: ours.PointCloudClassifier, data: tuple[np.ndarray, np.ndarray]
) -> None:
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(data[0])


@pytest.mark.slow
def test_a_grid_over_methods_in_a_pipeline(data: tuple[np.ndarray, np.ndarray]) -> None:
    pipeline = make_pipeline(FunctionTransformer(lambda clouds: 2 * clouds), small(epochs=1))
    grid = {'pointcloudclassifier__method': ['linear_probe', 'bitfit']}
    search = GridSearchCV(pipeline, grid, cv=2, error_score='raise').fit(*data)
    assert search.best_params_['pointcloudclassifier__method'] in grid[next(iter(grid))]
    assert np.isfinite(search.cv_results_['mean_test_score']).all()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda x, y: (x[..., 0], y), r'X has shape \[24, 64\]; expected \[clouds, points, 3\]'),
        (lambda x, y: (x, np.full(24, 'a')), "y has one class, 'a'"),
        (lambda x, y: (x * np.nan, y), 'NaN or infinite coordinates in 24 clouds'),
        (lambda x, y: (x, y[:9]), 'inconsistent numbers of samples'),
    ],
)
def test_mistakes_end_in_one_message(data: tuple, change: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().fit(*change(*data))


def test_an_unknown_method_is_named_when_it_is_fitted(data: tuple) -> None:
    with pytest.raises(UserError, match="no 'dap' among the methods; did you mean 'dapt'"):
        small(method='dap').fit(*data)


def test_the_example_runs() -> None:
    [test] = doctest.DocTestFinder(recurse=False).find(ours.PointCloudClassifier)
    result = doctest.DocTestRunner().run(test)
    assert (result.failed, result.attempted > 0) == (0, True)
