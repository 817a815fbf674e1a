"""What reports show beside the headline: how sure it is, calibration, clouds, features."""

import dataclasses
import itertools
import pathlib
import re
import sys

import numpy as np
import pytest
from made_up import CLASSES, classifier, segmenter
from matplotlib.figure import Figure

from point_ft_jax.core.errors import UserError
from point_ft_jax.reports import (
    calibration,
    clouds,
    comparison,
    curves,
    figures,
    finetuning,
    intervals,
    judgement,
    labels,
    pretraining,
    records,
    samples,
    tables,
)


def test_wilsons_interval_is_that_of_the_formula() -> None:
    np.testing.assert_allclose(intervals.wilson(0.8, 10), (0.490162, 0.943318), atol=1e-5)
    low, high = intervals.wilson(1.0, 20)
    assert 0.8 < low < 0.9
    assert high == 1.0
    assert np.isnan(intervals.wilson(0.5, 0)).all()


def test_a_bootstrap_interval_holds_the_mean_and_is_always_the_same() -> None:
    values = np.random.default_rng(1).random(50)
    low, high = intervals.bootstrap(values)
    assert low < values.mean() < high
    assert (low, high) == intervals.bootstrap(values)
    assert intervals.bootstrap(np.ones(5)) == (1.0, 1.0)


def test_models_tested_on_the_same_clouds_are_compared_cloud_by_cloud() -> None:
    right = np.random.default_rng(0).random(200) < 0.8
    better = right | (np.arange(200) < 20)
    mean, low, high = intervals.paired(right, better)
    assert 0 < low < mean < high
    alone = intervals.wilson(right.mean(), 200)
    assert high - low < alone[1] - alone[0]


def test_the_first_three_lines_say_what_how_good_and_how_sure() -> None:
    run = classifier(seeds=3)
    lines = finetuning.make_report(run).markdown().splitlines()[2:5]
    share = np.trace(run.seeds[0].chosen.confusion) / 40
    assert lines[0].startswith('dapt on recon tiny, trained on 400 clouds of shapes (4 classes).')
    assert (
        f'**Overall accuracy {100 * share:.2f} ± 0.00 %** on the 40 clouds of the test split'
        in (lines[1])
    )
    low, high = intervals.wilson(share, 40)
    assert (
        f'95 % interval {100 * low:.1f} to {100 * high:.1f} % (Wilson, 40 test clouds)'
        in (lines[2])
    )
    protocol = dataclasses.replace(run.protocol, selection='best_test_epoch')
    text = finetuning.make_report(dataclasses.replace(run, protocol=protocol)).markdown()
    assert 'chosen on these very clouds, which makes it optimistic' in text


def test_a_model_as_sure_as_it_is_right_has_no_calibration_error() -> None:
    probabilities = np.tile([0.75, 0.25], (8, 1))
    truth = np.array([0, 0, 0, 1] * 2)
    assert calibration.reliability(probabilities, truth).error == pytest.approx(0, abs=1e-12)
    found = calibration.reliability(probabilities, np.ones(8, int))
    assert found.error == pytest.approx(0.75)
    assert found.counts.sum() == 8
    text = calibration.section(probabilities, np.ones(8, int)).blocks[0]
    assert '(ECE, 10 bins): 75.0 %' in text
    assert 'surer than it is right' in text


def test_the_gallery_holds_the_most_confident_mistakes_first() -> None:
    shown = classifier().gallery
    answers, sure = shown.probabilities.argmax(1), shown.probabilities.max(1)
    wrong = np.flatnonzero(answers != shown.labels)
    assert shown.mistakes
    assert set(shown.mistakes) <= set(wrong)
    assert sure[shown.mistakes[0]] == sure[wrong].max()
    assert np.all(np.diff(sure[shown.mistakes]) <= 0)
    assert np.all(answers[shown.right] == shown.labels[shown.right])
    assert set(shown.labels[shown.right]) == set(range(len(CLASSES)))
    [title] = [view.title for view in samples.sections(CLASSES, shown)[0].blocks[0].clouds[0][1]]
    assert re.fullmatch(r'truth: .*\nanswer: .*, \d+\.\d %', title)


def test_the_files_of_mistakes_are_named_in_the_order_of_their_pictures() -> None:
    logits = np.array([[3.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    names = ('a/1.ply', 'b/2.ply', 'b/3.ply')
    shown = samples.select(np.ones((3, 8, 3)), logits, np.array([1, 1, 1]), names=names)
    found, _ = samples.sections(('a', 'b'), shown)
    assert found.blocks[-1] == 'Their files, in this order: `a/1.ply`, `b/2.ply`.'


def test_a_model_without_mistakes_says_so() -> None:
    shown = samples.select(np.ones((6, 8, 3)), 9 * np.eye(3)[[0, 1, 2] * 2], np.arange(6) % 3)
    assert shown.planes == {}
    assert samples.sections(CLASSES, shown)[0].blocks == ['All 6 clouds are right.']


def test_features_in_a_plane_are_always_the_same() -> None:
    features = np.random.default_rng(0).standard_normal((30, 5))
    one, two = samples.project(features), samples.project(features)
    assert set(one) == {'PCA', 't-SNE'}
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    assert samples.project(features[:3]) == {}
    assert samples.project(np.ones((30, 5))) == {}


def test_labels_beside_dots_do_not_cover_each_other() -> None:
    figure = Figure(figsize=(5, 4), layout='constrained')
    axes = figure.subplots()
    r = np.random.default_rng(0)
    x, y = 0.5 + 0.05 * r.standard_normal((2, 12))
    axes.plot(x, y, 'o')
    axes.set(xlim=(0, 1), ylim=(0, 1))
    placed = labels.place(axes, x, y, [f'method {i}' for i in range(12)])
    boxes = [text.get_window_extent() for text in placed]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def test_a_percentage_goes_no_further_than_100_and_an_epoch_is_whole() -> None:
    history = [{'epoch': 1, 'test_accuracy': 0.95}, {'epoch': 2, 'test_accuracy': 1.0}]
    panel = curves.Panel('Accuracy, %', {'test_accuracy': 'test'}, 100)
    for lines in (history, history[:1]):
        [axes] = curves.plot_curves([panel], {0: lines}).axes
        low, high = axes.get_xlim()
        seen = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert seen
        assert all(tick == round(tick) for tick in seen)
        assert max(axes.get_yticks()) <= 100
        assert axes.get_ylim()[1] < 102


def test_every_seed_has_its_own_colour() -> None:
    for count in (3, 8, 30):
        colours = curves.seed_colours(range(count))
        assert len(set(colours.values())) == count
    lines = [{'epoch': e, 'validation_accuracy': 0.5, 'test_accuracy': 0.4} for e in (1, 2)]
    series = {'validation_accuracy': 'validation', 'test_accuracy': 'test'}
    panel = curves.Panel('Accuracy, %', series, 100)
    figure = curves.plot_curves([panel], dict.fromkeys(range(3), lines))
    drawn = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    looks = {(line.get_color(), line.get_linestyle()) for line in drawn}
    assert len(looks) == 6
    assert [text.get_text() for text in figure.legends[0].texts] == ['seed 0', 'seed 1', 'seed 2']


def test_a_logarithmic_axis_has_plain_numbers() -> None:
    axes = Figure().subplots()
    axes.plot([0.2, 22], [1, 2])
    axes.set_xscale('log')
    figures.plain_logarithm(axes.xaxis)
    axes.figure.draw_without_rendering()
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert {'0.2', '0.5', '1', '20'} <= set(shown)
    assert not any('10^' in text for text in shown)


def test_a_segmenters_figure_says_what_is_truth_and_names_the_parts() -> None:
    report = finetuning.make_report(segmenter())
    [picture] = [b for s in report.sections if s.title == 'Shapes' for b in s.blocks[1:]]
    figure = picture.figure
    assert [axes.get_title() for axes in figure.axes[:2]] == ['truth', 'answer']
    assert [text.get_text() for text in figure.legends[3].texts] == [
        'part 5',
        'part 6',
        'part 7',
    ]
    assert [view.title for view in picture.clouds[0][1]] == ['truth', 'answer']


def test_a_cloud_without_a_known_point_is_drawn_as_nothing() -> None:
    axes = Figure().subplots()
    clouds.draw(axes, clouds.View('nothing', np.full((4, 3), np.nan)))
    assert not axes.collections


def judged() -> judgement.Judgement:
    levels = {'1': 0.8, '5': 0.4}
    return judgement.Judgement(
        'corrupted', 'python run.py', 'shapes', 'runs/a', 'suite', 0.6, 0, {'accuracy': 0.6},
        corruptions={'jitter': levels, 'scale': levels}, clean=0.9, folds=[0.5, 0.7],
        classes=CLASSES, confusion=10 * np.eye(4, dtype=int),
    )  # fmt: skip


def compared() -> comparison.Comparison:
    row = {'trainable M': '1.1', 'accuracy %': '99.00', '± %': '3.00', 'memory MiB': '9'}
    row |= {'step GFLOP': '1.0', 'paper %': ''}
    rows = [{'method': name, **row} for name in ('dapt', 'lora')]
    return comparison.Comparison('methods', 'python run.py', 'shapes', rows)


def pretrained() -> pretraining.Pretraining:
    points = np.random.default_rng(0).standard_normal((32, 3))
    example = pretraining.Example('chair', points, points[:20], points[20:])
    lines = [
        {'epoch': e, 'reconstruction': 0.1 / e, 'test_reconstruction': 0.2 / e} for e in (1, 2)
    ]
    return pretraining.Pretraining(
        'pre', 'python run.py', {'backbone': 'recon tiny', 'data': 'shapes'},
        [pretraining.SeedResult(0, lines, [example])], {'decoder': (5, 5)}, {'train_seconds': 3.0},
        {'train': 10, 'test': 4},
    )  # fmt: skip


@pytest.mark.parametrize('make', [classifier, segmenter, judged, compared, pretrained])
def test_a_report_is_made_again_from_what_it_left(make, tmp_path: pathlib.Path) -> None:
    record = make()
    first = sys.modules[type(record).__module__].make_report(record)
    first.write(tmp_path / 'one')
    back = records.read(tmp_path / 'one' / records.FILE)
    sys.modules[type(back).__module__].make_report(back).write(tmp_path / 'two')
    for path in (tmp_path / 'one').iterdir():
        assert path.read_bytes() == (tmp_path / 'two' / path.name).read_bytes(), path.name
    lead = first.markdown().splitlines()[2:5]
    assert all(len(line) > 20 for line in lead)


def test_a_broken_record_and_one_of_another_program_are_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match='no such file'):
        records.read(tmp_path / 'gone.npz')
    (tmp_path / 'torn.npz').write_bytes(b'PK\x03\x04')
    with pytest.raises(UserError, match='cannot be read'):
        records.read(tmp_path / 'torn.npz')
    text = '{"<class>": "subprocess.Popen", "args": "true"}'
    np.savez(tmp_path / 'other.npz', record=np.array(text))
    with pytest.raises(UserError, match=r'subprocess\.Popen is no record'):
        records.read(tmp_path / 'other.npz')


def test_a_name_in_a_table_is_read_as_it_is() -> None:
    table = tables.markdown([{'class': 'a $x$ <b> *c* `d`'}])
    assert r'a \$x\$ &lt;b> \*c\* \`d\`' in table
