"""Voting: a finished run's test accuracy over augmented views of every cloud.

python run.py --config=configs/voting.py --config.run=runs/recon_dapt
    ten votes, once
python run.py --config=configs/voting.py:papers --config.run=runs/recon_dapt_modelnet40
    ten votes, the best of 299 repetitions on the test set: optimistic, and how papers report it
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.config import judging
from point_ft_jax.experiments.papers import check_variant

VARIANTS = ('', 'papers')


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('voting', variant, VARIANTS)
    config = judging('vote')
    config.name = f'voting_{variant}' if variant else 'voting'
    config.vote.votes = 10
    if variant == 'papers':
        config.vote.repeats = 299
    return config
