"""A report as one page: it holds everything, is small, and its clouds turn in a browser."""

import base64
import io
import json
import pathlib
import re
import sys

import numpy as np
import pytest
from browser import CHROMIUM, DRIVER, Browser, browser
from made_up import CLASSES, classifier, segmenter
from PIL import Image

from point_ft_jax.reports import finetuning, page, samples
from point_ft_jax.reports.report import Report, Section, Table

LARGEST = 6_000_000  # bytes


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A classifier's report."""
    place = tmp_path_factory.mktemp('report')
    finetuning.make_report(classifier()).write(place)
    return place


def test_a_page_holds_what_report_md_says_and_names_no_other_file(folder: pathlib.Path) -> None:
    text = (folder / 'report.html').read_text()
    for title in re.findall('## (.*)', (folder / 'report.md').read_text()):
        assert f'<h2>{title}</h2>' in text
    assert 'python run.py &#x27;--config.data.root=a b&#x27;' in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources
    assert all(source.startswith('data:') for source in sources)
    assert len(sources) == 1 + len(list(folder.glob('*.png')))


def test_a_page_with_many_large_clouds_is_below_six_megabytes(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('plotly')
    r = np.random.default_rng(0)
    truth = np.arange(240) % 40
    features = np.eye(40)[truth] + r.standard_normal((240, 40))
    shown = samples.select(r.standard_normal((240, 2048, 3)), features, truth)
    sections = samples.sections([f'class {i}' for i in range(40)], shown)
    Report('large', '', 'p', sections, {}, '').write(tmp_path)
    size = (tmp_path / 'report.html').stat().st_size
    assert 2_000_000 < size < LARGEST


def test_a_name_is_no_html_and_ends_no_script(tmp_path: pathlib.Path) -> None:
    name = '</script><b onload=x>'
    shown = samples.select(np.ones((4, 8, 3)), np.eye(2)[[0, 1, 1, 1]], np.array([0, 1, 0, 1]))
    rows = Section('Rows', [Table([{name: name}])])
    report = Report(name, name, name, [rows, *samples.sections([name, 'b'], shown)], {}, '')
    report.write(tmp_path)
    assert name not in (tmp_path / 'report.html').read_text()


def test_without_plotly_the_page_has_the_pictures_and_says_how_clouds_turn(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'plotly.offline', None)
    page.plotly.cache_clear()
    try:
        finetuning.make_report(classifier()).write(tmp_path)
    finally:
        page.plotly.cache_clear()
    text = (tmp_path / 'report.html').read_text()
    assert "pip install 'plotly" in text
    assert 'class="viewer"' not in text
    assert text.count('<img ') == len(list(tmp_path.glob('*.png')))


def test_a_cloud_in_a_page_is_the_cloud(folder: pathlib.Path) -> None:
    pytest.importorskip('plotly')
    shown = classifier().gallery
    text = (folder / 'report.html').read_text()
    data = re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[1]
    name, [view] = json.loads(data)[0]
    assert name.startswith(f'cloud {shown.mistakes[0]}: truth: ')
    packed = np.frombuffer(base64.b64decode(view['points']), '<i2').reshape(-1, 3)
    found = packed * view['reach'] / page.REACH + view['middle']
    np.testing.assert_allclose(found, shown.points[str(shown.mistakes[0])], atol=1e-3)
    assert CLASSES[shown.labels[shown.mistakes[0]]] in view['title']


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason='no chromium and chromedriver on PATH')
@pytest.mark.parametrize('make', [classifier, segmenter])
def test_in_a_browser_the_clouds_turn_under_the_mouse(make, tmp_path: pathlib.Path) -> None:
    pytest.importorskip('plotly')
    finetuning.make_report(make()).write(tmp_path)
    with browser(tmp_path) as session:
        session.open(tmp_path / 'report.html')
        session.wait("[...document.querySelectorAll('.viewer')].every((v) => v.dataset.ready)")
        assert session.errors() == []
        session.run("document.querySelector('.viewer').scrollIntoView()")
        box = session.run(
            "const b = document.querySelector('.scene').getBoundingClientRect();"
            'return [b.x + b.width / 4, b.y + b.height / 2].map(Math.round)'
        )
        before = camera(session)
        one = pixels(session)
        session.drag(*box, across=150)
        session.wait(f'{EYE} != {json.dumps(before)}')
        two = pixels(session)
        assert np.mean(np.any(one != two, axis=-1)) > 0.002
        session.run("document.querySelector('.next').click()")
        session.wait("document.querySelector('.viewer select').value == '1'")
        assert session.errors() == []


EYE = "JSON.stringify(document.querySelector('.scene')._fullLayout.scene.camera.eye)"


def camera(session: Browser) -> str:
    return session.run(f'return {EYE}')


def pixels(session: Browser) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(session.screenshot())).convert('RGB'))
