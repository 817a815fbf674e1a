"""What every test runs under: the CPU, no silent rank promotion, a compilation cache."""

import os
import pathlib

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('MPLBACKEND', 'agg')

import jax

CACHE = (
    pathlib.Path(os.environ.get('XDG_CACHE_HOME', pathlib.Path.home() / '.cache')) / 'point_ft_jax'
)

jax.config.update('jax_numpy_rank_promotion', 'raise')
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
    jax.config.update('jax_compilation_cache_dir', str(CACHE / 'tests'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)
