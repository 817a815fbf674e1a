"""A report says what its numbers mean, repeats itself exactly, and copes with what is missing."""

import dataclasses
import itertools
import json
import re
import warnings

import numpy as np
import pytest
from matplotlib.image import imread

from point_ft_jax.core.errors import UserError
from point_ft_jax.reports import finetuning as r
from point_ft_jax.reports.classification import plot_confusion

CLASSES = ('bag', 'bin', 'night_stand')
PROTOCOL = r.Protocol('ScanObjectNN pb_t50_rs', 2048, 'scale and translate', 'validation', 'update')


def evaluation(epoch, right):
    """Three classes of 10 clouds, of which `right` are classified rightly, the rest as the next."""
    same, following = np.eye(3, dtype=int), np.eye(3, dtype=int)[[1, 2, 0]]
    return r.Evaluation(epoch, right * same + (10 - right) * following)


def history(epochs=6, **extra):
    return [
        {'step': 10 * e, 'epoch': e, 'train_loss': 1 / e, 'test_accuracy': 1 - 1 / e, **extra}
        for e in range(1, epochs + 1)
    ]


def result(seed=0, right=8):
    return r.SeedResult(
        seed, evaluation(4, right), evaluation(5, 9), evaluation(6, 7), history=history()
    )


def report(*seeds, **changes):
    base = r.Finetuning(
        'recon_dapt', 'python run.py', PROTOCOL, 'classification', CLASSES, seeds or (result(),)
    )
    return dataclasses.replace(base, **changes)


def section(text, title):
    return text.split(f'## {title}\n\n')[1].split('\n\n## ')[0]


def rows(text, title):
    """The cells of the table in a section, by the first cell of the row."""
    lines = [line for line in section(text, title).splitlines() if line.startswith('|')]
    cells = [[cell.strip() for cell in line.strip('|').split(' | ')] for line in lines[2:]]
    return {first: rest for first, *rest in cells}


def test_the_headline_tells_the_chosen_epoch_from_the_best_test_epoch():
    headline = rows(r.make_report(report()).markdown(), 'Accuracy on the test set')
    assert headline == {
        'epoch best on the validation split': ['4', '80.00', '80.00'],
        "best test epoch (the papers' protocol; optimistic)": ['5', '90.00', '90.00'],
        'last epoch': ['6', '70.00', '70.00'],
    }


def test_under_the_papers_protocol_there_is_no_second_best():
    protocol = dataclasses.replace(PROTOCOL, selection='best_test_epoch')
    headline = rows(r.make_report(report(protocol=protocol)).markdown(), 'Accuracy on the test set')
    assert headline["best test epoch (the papers' protocol; optimistic)"][0] == '4'
    assert len(headline) == 2


def test_several_seeds_have_a_mean_and_a_sample_deviation():
    several = report(result(0, 7), result(1, 8), result(2, 9))
    text = r.make_report(several).markdown()
    headline = rows(text, 'Accuracy on the test set')
    assert headline['epoch best on the validation split'] == [
        '4, 4, 4', '80.00 ± 10.00', '80.00 ± 10.00',
    ]  # fmt: skip
    assert [row[1] for row in rows(text, 'Seeds').values()] == ['70.00', '80.00', '90.00']
    assert rows(text, 'Accuracy by class')['bag'] == [
        '10', '80.00 ± 10.00', '49.0 to 94.3', 'bin',
    ]  # fmt: skip
    mean_std = r.summary(several)['headline']['chosen']['overall_accuracy']
    assert mean_std == pytest.approx({'mean': 0.8, 'std': 0.1})


def test_the_protocol_says_what_the_numbers_mean():
    protocol = dataclasses.replace(PROTOCOL, votes=10, batch_norm='hold')
    seed = dataclasses.replace(result(), voted=evaluation(4, 10))
    text = r.make_report(report(seed, protocol=protocol)).markdown()
    line = next(line for line in text.splitlines() if line.startswith('**Protocol:**'))
    for part in (
        'ScanObjectNN pb_t50_rs, 2,048 points', 'augmentation: scale and translate',
        'reported: epoch best on the validation split', 'voting: 10 votes',
        'batch norm: the statistics of frozen layers held', 'seed 0.',
    ):  # fmt: skip
        assert part in line
    assert rows(text, 'Accuracy on the test set')['the same with 10 votes'][1] == '100.00'
    assert 'no voting' in r.make_report(report()).markdown()


def test_parameters_and_cost_have_sums_and_units():
    text = r.make_report(
        report(
            parameters={'backbone': (21_825_024, 0), 'head': (268_303, 268_303)},
            cost=r.Cost(temporary_bytes=3 * 2**20, flops_per_step=2.5e9, train_seconds=90),
        )
    ).markdown()
    assert rows(text, 'Parameters')['all'] == ['22,093,327', '268,303', '1.21']
    assert rows(text, 'Memory and time') == {
        'Temporaries': ['3.0 MiB'], 'Operations of a training step': ['2.5 GFLOP'],
        'Training': ['90.0 s'],
    }  # fmt: skip


def test_what_is_missing_is_left_out(tmp_path):
    bare = report(r.SeedResult(0, evaluation(4, 8)))
    text = r.make_report(bare).write(tmp_path).read_text()
    assert re.findall('## (.*)', text) == [
        'Accuracy on the test set', 'Confusion matrix', 'Accuracy by class',
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'classes.png', 'confusion.png', 'report.html', 'report.md', 'report.npz', 'result.json',
    ]  # fmt: skip


def test_a_class_without_test_clouds_has_no_accuracy():
    empty = r.SeedResult(0, r.Evaluation(1, np.diag([3, 0, 2])))
    text = r.make_report(report(empty)).markdown()
    assert rows(text, 'Accuracy by class')['bin'] == ['0', '', '', '']
    assert r.summary(report(empty))['headline']['chosen']['mean_class_accuracy']['mean'] == 1


def test_pictures_are_referenced_relatively_and_are_there(tmp_path):
    text = r.make_report(report()).write(tmp_path / 'run').read_text()
    pictures = re.findall(r'!\[.*\]\((.*)\)', text)
    assert pictures == ['curves.png', 'confusion.png', 'classes.png']
    for picture in pictures:
        pixels = imread(tmp_path / 'run' / picture)
        assert pixels.shape[0] > 200
        assert pixels[..., :3].std() > 0.01


def test_the_same_report_gives_the_same_files(tmp_path):
    for folder in ('one', 'two'):
        r.make_report(report()).write(tmp_path / folder)
    for path in (tmp_path / 'one').iterdir():
        assert path.read_bytes() == (tmp_path / 'two' / path.name).read_bytes(), path.name


def test_result_json_holds_everything(tmp_path):
    seed = dataclasses.replace(result(), history=history(gradient_norm=float('nan')))
    r.make_report(report(seed, parameters={'head': (5, 5)})).write(tmp_path)
    found = json.loads((tmp_path / 'result.json').read_text())
    assert found['headline']['best_test']['overall_accuracy'] == {'mean': 0.9, 'std': None}
    assert found['accuracy_by_class']['night_stand'] == 0.8
    assert found['seeds'][0]['chosen']['confusion'] == [[8, 2, 0], [0, 8, 2], [2, 0, 8]]
    assert found['seeds'][0]['history'][0]['gradient_norm'] is None
    assert found['protocol']['selection'] == 'validation'
    assert found['parameters'] == {'head': [5, 5]}


def test_curves_have_a_line_a_seed_and_a_gap_where_a_value_is_null():
    records = history()
    records[2]['train_loss'] = None
    del records[3]['test_accuracy']
    seeds = [dataclasses.replace(result(s), history=records) for s in range(2)]
    loss, accuracy = r.plot_curves(r.PANELS, {s.seed: s.history for s in seeds}).axes
    assert [len(line.get_xdata()) for line in loss.lines] == [6, 6]
    assert np.isnan(loss.lines[0].get_ydata()[2])
    assert len(accuracy.lines[0].get_xdata()) == 5
    assert accuracy.lines[0].get_ydata()[-1] == pytest.approx(100 * (1 - 1 / 6))


@pytest.mark.parametrize('num_classes', [2, 15, 40])
def test_labels_of_the_confusion_matrix_do_not_overlap(num_classes):
    classes = [f'class_number_{i}' for i in range(num_classes)]
    chosen = r.Evaluation(1, np.eye(num_classes, dtype=int))
    figure = plot_confusion(classes, [chosen])
    figure.draw_without_rendering()
    axes = figure.axes[0]
    for labels, low, high in (
        (axes.get_xticklabels(), 'x0', 'x1'),
        (axes.get_yticklabels()[::-1], 'y0', 'y1'),
    ):
        boxes = [label.get_window_extent() for label in labels]
        assert [label.get_text() for label in labels] in (classes, classes[::-1])
        for one, next_one in itertools.pairwise(boxes):
            assert getattr(one, high) <= getattr(next_one, low)
    assert [text.get_text() for text in axes.texts] == ['100'] * num_classes


def test_no_warning_of_a_constant_or_a_single_epoch(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for records in (history(1), history(gradient_norm=0.0), history(gradient_norm=None)):
            path = r.make_report(report(dataclasses.replace(result(), history=records))).write(
                tmp_path
            )
            assert path.exists()


def test_every_problem_of_a_report_is_listed(tmp_path):
    protocol = dataclasses.replace(PROTOCOL, selection='best', batch_norm='freeze', votes=10)
    half = r.SeedResult(1, r.Evaluation(1, np.eye(2)))
    with pytest.raises(UserError) as error:
        r.make_report(report(result(), half, protocol=protocol)).write(tmp_path)
    message = str(error.value)
    for part in (
        "selection is 'best'; expected one of validation, best_test_epoch, last_epoch",
        "batch_norm is 'freeze'; expected one of hold, update",
        '10 votes, but 0 seeds have a voted result',
        'best_test is given for seeds [0] only; expected all seeds or none',
        'chosen, seed 1: a confusion matrix of (2, 2); expected (3, 3) for the class names',
    ):
        assert part in message
    with pytest.raises(UserError, match='no seed has a result'):
        r.make_report(dataclasses.replace(report(), seeds=())).write(tmp_path)
    assert not list(tmp_path.iterdir())
