"""The sample clouds of the documents."""

import pathlib

import numpy as np
import pytest

from point_ft_jax import load_dataset
from point_ft_jax.commands import write_samples
from point_ft_jax.data.files import points

SAMPLES = pathlib.Path(__file__).parents[2] / 'docs' / 'samples'
LARGEST = 200_000  # bytes


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp('samples')
    write_samples.main([str(folder)])
    return folder


def clouds(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of clouds below a folder, relative to it."""
    return sorted(path.relative_to(folder) for path in folder.rglob('*') if points.is_cloud(path))


def test_the_samples_that_ship_are_what_the_command_writes(written: pathlib.Path) -> None:
    assert len(clouds(SAMPLES)) > 20
    assert clouds(written) == clouds(SAMPLES)
    for path in clouds(SAMPLES):
        # A coordinate half way between two millimetres may be rounded either way.
        difference = points.read(written / path) - points.read(SAMPLES / path)
        assert np.abs(difference).max() <= 1, path


def test_the_samples_are_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.rglob('*') if path.is_file()) < LARGEST


def test_the_classes_are_a_data_set() -> None:
    splits = load_dataset('folder', root=str(SAMPLES / 'classes'), normalize=True)
    assert splits['train'].points.shape == (12, 1024, 3)
    assert splits['test'].points.shape == (3, 1024, 3)
    assert splits['train'].classes == ('bed', 'chair', 'door')


def test_the_parts_are_a_data_set_with_part_labels() -> None:
    splits = load_dataset('part_folder', root=str(SAMPLES / 'parts'))
    assert splits['train'].part_labels.shape == (8, 512)
    assert splits['train'].parts[0] != splits['train'].parts[1]
    assert {part for parts in splits['train'].parts for part in parts} == set(
        range(len(splits['train'].part_names))
    )
