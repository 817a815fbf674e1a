"""The mini-PointNet, where it takes some groups at a time."""

import jax
import numpy as np

from point_ft_jax.models.tokenizer import MiniPointNet


def test_what_is_captured_of_it_can_be_used() -> None:
    """All groups at once or some at a time, an output that Flax keeps is an array, no tracer."""
    groups = np.random.default_rng(0).standard_normal((2, 6, 5, 3)).astype(np.float32)
    tokenizer = MiniPointNet(4, use_running=True, widths=(3, 4, 5))
    variables = tokenizer.init(jax.random.key(0), groups)
    run = jax.jit(lambda v, x: tokenizer.apply(v, x, capture_intermediates=True))
    tokens, kept = run(variables, groups)
    assert [leaf.shape for leaf in jax.tree.leaves(kept)] == [(2, 6, 4)]
    np.testing.assert_array_equal(kept['intermediates']['__call__'][0], tokens)
