"""ScanObjectNN and ModelNet40 as tensorflow-datasets, prepared and read without TensorFlow.

The builders hold what the readers `scanobjectnn` and `modelnet40` give, checked by them, and `load`
returns the same arrays bit for bit:

    from point_ft_jax.data.datasets import tfds
    tfds.prepare('scan_object_nn/pb_t50_rs', data_dir='tensorflow_datasets', manual_dir='h5_files')
"""

import importlib.util
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data import checks
from point_ft_jax.data.datasets import modelnet40, scanobjectnn
from point_ft_jax.data.datasets._options import SPLITS, check_choice
from point_ft_jax.data.files.folders import existing_root
from point_ft_jax.data.split import Split

# array_record comes for Linux alone; the library's default format would need TensorFlow.
FORMAT = 'array_record' if importlib.util.find_spec('array_record') else 'parquet'
NOTES = {'1.0.0': 'Points, label and index, as the readers of point_ft_jax give them.'}


class ScanObjectNN(tfds.core.GeneratorBasedBuilder):
    """ScanObjectNN, a config for each variant."""

    code_path = None  # nothing lies beside the code; the search for it needs another package
    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = NOTES
    BUILDER_CONFIGS = tuple(
        tfds.core.BuilderConfig(name=variant, description=f'{folder}/*_{suffix}')
        for variant, (folder, suffix) in scanobjectnn.FILES.items()
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = 'Put main_split/ and main_split_nobg/ with their h5 files here.'

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, scanobjectnn.POINTS, scanobjectnn.CLASSES)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(split, dl_manager.manual_dir) for split in SPLITS}

    def _generate_examples(self, split: str, root: os.PathLike) -> Iterator[tuple[int, dict]]:
        variant = self.builder_config.name
        return _examples(scanobjectnn.load(split, root=os.fspath(root), variant=variant))


class ModelNet40(tfds.core.GeneratorBasedBuilder):
    """ModelNet40, a config for each form, centred and scaled to the unit sphere."""

    code_path = None  # nothing lies beside the code; the search for it needs another package
    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = NOTES
    BUILDER_CONFIGS = tuple(
        tfds.core.BuilderConfig(name=form, description=f'from {folder}')
        for form, folder in modelnet40.FORMS.items()
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = f'Put {" or ".join(modelnet40.FORMS.values())} here.'

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, modelnet40.POINTS[self.builder_config.name], modelnet40.CLASSES)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(split, dl_manager.manual_dir) for split in SPLITS}

    def _generate_examples(self, split: str, root: os.PathLike) -> Iterator[tuple[int, dict]]:
        form = self.builder_config.name
        return _examples(modelnet40.load(split, root=os.fspath(root), form=form))


NAMES = {
    f'{builder.name}/{config.name}': (builder, config.name)
    for builder in (ScanObjectNN, ModelNet40)
    for config in builder.BUILDER_CONFIGS
}


def prepare(name: str, data_dir: str, manual_dir: str) -> pathlib.Path:
    """Writes a data set for tensorflow-datasets; does nothing if it is there already.

    Args:
        name: 'scan_object_nn/VARIANT' or 'model_net40/FORM'.
        data_dir: where tensorflow-datasets keeps its data; made if need be.
        manual_dir: the `root` of the reader: where the downloaded files are.

    Returns:
        The folder of the prepared data set.

    Raises:
        UserError: an unknown name, no such manual_dir, or what the reader finds wrong.
    """
    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        source = tfds.download.DownloadConfig(manual_dir=existing_root(manual_dir))
        builder.download_and_prepare(download_config=source)
    return pathlib.Path(builder.data_dir)


def load(split: str, *, dataset: str, data_dir: str) -> Split:
    """A split of a prepared data set, in the order of the reader that it was prepared with.

    Args:
        split: 'train' or 'test'.
        dataset: 'scan_object_nn/VARIANT' or 'model_net40/FORM'.
        data_dir: where tensorflow-datasets keeps its data.

    Raises:
        UserError: an unknown name, a data set that is not prepared, or not a sound split.
    """
    check_choice('split', split, SPLITS)
    builder = _builder(dataset, data_dir)
    if not builder.is_prepared():
        raise UserError(
            f'{dataset} is not prepared in {data_dir}; prepare it with '
            f'point_ft_jax.data.datasets.tfds.prepare({dataset!r}, data_dir, manual_dir)'
        )
    features = builder.info.features
    source = builder.as_data_source(split=split)
    points = np.zeros((len(source), *features['points'].shape), np.float32)
    labels = np.full(len(source), -1, np.int32)
    for record in source:
        points[record['index']] = record['points']
        labels[record['index']] = record['label']
    classes = tuple(features['label'].names)
    problems = checks.problems(points, labels, classes)
    raise_all(problems, f'{builder.data_dir} has no sound {split} split:')
    return Split(points, labels, classes)


def _builder(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    check_choice('name', name, NAMES)
    builder, config = NAMES[name]
    return builder(config=config, data_dir=os.path.expanduser(data_dir), file_format=FORMAT)


def _info(
    builder: tfds.core.DatasetBuilder, num_points: int, classes: tuple[str, ...]
) -> tfds.core.DatasetInfo:
    points = tfds.features.Tensor(
        shape=(num_points, 3), dtype=np.float32, encoding=tfds.features.Encoding.BYTES
    )
    features = {
        'points': points,
        'label': tfds.features.ClassLabel(names=list(classes)),
        'index': tfds.features.Scalar(np.int32),  # the library shuffles; this is the way back
    }
    return tfds.core.DatasetInfo(
        builder=builder,
        description=builder.__doc__,
        features=tfds.features.FeaturesDict(features),
    )


def _examples(data: Split) -> Iterator[tuple[int, dict]]:
    pairs = zip(data.points, data.labels.tolist(), strict=True)
    for index, (points, label) in enumerate(pairs):
        yield index, {'points': points, 'label': label, 'index': index}
