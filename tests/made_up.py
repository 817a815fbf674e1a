"""Made-up results, small, for reports."""

import numpy as np

from point_ft_jax.evaluation.metrics import Evaluation, confusion_matrix
from point_ft_jax.evaluation.part_metrics import PartEvaluation, shape_ious
from point_ft_jax.reports import finetuning, samples
from point_ft_jax.reports.part_segmentation import select_shapes

CLASSES = ('chair', 'lamp $x$', '椅子', 'box')
PARTS = ((0, 1), (2,), (3, 4), (5, 6, 7))
NAMES = tuple(f'part {part}' for part in range(8))
PROTOCOL = finetuning.Protocol('shapes', 64, 'scale_translate', 'validation', 'hold')


def history(epochs: int = 3) -> list[dict]:
    return [
        {'step': 10 * e, 'epoch': e, 'train_loss': 1 / e, 'test_accuracy': 1 - 0.1 / e}
        for e in range(1, epochs + 1)
    ]


def classifier(size: int = 40, seeds: int = 1) -> finetuning.Finetuning:
    """A run on clouds [S, 64, 3], some of them misclassified."""
    r = np.random.default_rng(0)
    truth = np.arange(size) % len(CLASSES)
    features = np.eye(len(CLASSES))[truth] * 2 + r.standard_normal((size, len(CLASSES)))
    points = r.standard_normal((size, 64, 3)).astype(np.float32)
    shown = samples.select(points, features, truth, features)
    confusion = confusion_matrix(truth, features.argmax(1), len(CLASSES))
    results = [
        finetuning.SeedResult(seed, Evaluation(2, confusion), history=history())
        for seed in range(seeds)
    ]
    return finetuning.Finetuning(
        'made up', "python run.py '--config.data.root=a b'", PROTOCOL, 'classification', CLASSES,
        results, gallery=shown, model='dapt on recon tiny', clouds={'train': 400, 'test': size},
    )  # fmt: skip


def segmenter(size: int = 8) -> finetuning.Finetuning:
    """A run on shapes [S, 64, 3] with parts, a tenth of them wrong."""
    r = np.random.default_rng(0)
    categories = np.arange(size) % len(CLASSES)
    truth = np.array([r.choice(PARTS[c], 64) for c in categories])
    answers = np.where(r.random(truth.shape) < 0.1, r.permuted(truth, axis=1), truth)
    ious = shape_ious(truth, answers, categories, PARTS)
    evaluation = PartEvaluation(
        2, ious, categories, len(CLASSES), confusion_matrix(truth, answers, len(NAMES))
    )
    points = r.standard_normal((size, 64, 3))
    gallery = select_shapes(evaluation, points, truth, answers, (), PARTS, NAMES)
    return finetuning.Finetuning(
        'parts', 'python run.py', PROTOCOL, 'part_segmentation', CLASSES,
        [finetuning.SeedResult(0, evaluation, history=history())], gallery=gallery,
    )  # fmt: skip
