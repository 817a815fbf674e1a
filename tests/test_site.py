"""The documents as a site."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def test_the_site_builds_without_a_warning(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('mkdocs', reason="needs the extra 'docs'")
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '-d', tmp_path]
    environment = {**os.environ, 'NO_MKDOCS_2_WARNING': '1'}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, '')
    start = (tmp_path / 'index.html').read_text()
    assert 'href="quickstart/"' in start
    reference = (tmp_path / 'reference' / 'index.html').read_text()
    assert 'id="point_ft_jax.finetune"' in reference
    assert 'href="#point_ft_jax.load_dataset"' in reference  # from a docstring to another
