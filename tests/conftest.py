"""What every test runs under: the CPU, no silent rank promotion, a compilation cache."""

import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('MPLBACKEND', 'agg')

import jax
import pytest

from point_ft_jax.core import cache

jax.config.update('jax_numpy_rank_promotion', 'raise')
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
    jax.config.update('jax_compilation_cache_dir', str(cache.folder() / 'tests'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.02)

# What the compiler takes longest for, so that no worker is left alone with one of them at the end.
FIRST = [
    'test_methods',
    'test_golden_models',
    'test_finetune',
    'test_fit',
    'test_pretrain',
    'test_step',
    'test_robust',
    'test_golden_pretrain',
    'test_part_segmentation',
    'test_golden_segmentation',
    'test_backbones',
    'test_population_members',
    'test_autoencoders',
    'test_population',
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files go to the workers in this order, each to one (`--dist loadfile`)."""
    order = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(FIRST)))


# What compares numbers with a reference, or looks at the compiled program, is compiled as users do.
OPTIMIZED = ('test_golden', 'test_kernels', 'test_step', 'test_memory', 'test_aot')


@pytest.fixture(autouse=True, scope='module')
def compiler(request: pytest.FixtureRequest) -> None:
    """Elsewhere the compiler, which takes most of the suite's time, takes less of it."""
    quick = not request.path.stem.startswith(OPTIMIZED)
    jax.config.update('jax_disable_most_optimizations', quick)
