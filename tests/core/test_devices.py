"""What the compiler options bring, looked up in compiled modules: a new XLA may undo them."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from point_ft_jax.core.devices import (
    EIGEN,
    YNNPACK,
    compiler_options,
    memory_bytes,
    product_library,
)
from point_ft_jax.models.recomputation import keeping


@pytest.fixture(autouse=True)
def optimized() -> None:
    """As users compile."""
    jax.config.update('jax_disable_most_optimizations', False)


@pytest.mark.parametrize('library', [EIGEN, YNNPACK], ids=['Eigen', 'YNNPACK'])
def test_products_go_to_the_library_and_nothing_else_does(library: str) -> None:
    def chain(x: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.tanh(x @ w + 1.0) @ w

    x = jnp.ones((256, 256))
    options = compiler_options(library)
    text = jax.jit(chain, compiler_options=options).lower(x, x).compile().as_text()
    # A fusion's computation, by the fusions that XLA hands to YNNPACK.
    names = re.findall(r'calls=%?([\w.\-]+).*__ynn_fusion', text)
    entry = text[text.index('ENTRY') :]
    assert (len(names), len(re.findall(r' dot\(', entry))) == ((0, 2) if not library else (2, 0))
    for name in names:
        body = re.search(rf'%?{re.escape(name)} \(.*?\n}}', text, re.DOTALL)[0]
        operations = re.findall(r' = \S+ ([a-z][\w\-]*)\(', body)
        assert sorted(set(operations) - {'parameter', 'bitcast'}) == ['dot']


def test_eigen_computes_the_products_of_a_zen_4() -> None:
    assert product_library({'vendor_id': 'AuthenticAMD', 'cpu family': '25'}) == EIGEN
    assert product_library({'vendor_id': 'AuthenticAMD', 'cpu family': '26'}) == YNNPACK
    assert product_library({'vendor_id': 'GenuineIntel', 'cpu family': '6'}) == YNNPACK
    assert product_library({}) == YNNPACK


def test_long_rows_are_not_summed_by_windows() -> None:
    scores = jnp.ones((64, 4096))
    program = jax.jit(jax.nn.softmax, compiler_options=compiler_options()).lower(scores).compile()
    assert 'reduce-window' not in program.as_text()


def test_what_is_to_be_computed_again_is_not_kept() -> None:
    """Four maps with a tanh between them: of each, all, the product, or what enters."""

    class Map(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            for number in range(2):
                x = jnp.sin(jnp.tanh(nn.Dense(256, name=f'dense_{number}')(x)))
            return x

    found = {}
    for memory in ('fast', 'balanced', 'least'):

        class Chain(nn.Module):
            memory: str

            @nn.compact
            def __call__(self, x: jax.Array) -> jax.Array:
                for number in range(4):
                    x = keeping(self.memory, Map)(name=f'map_{number}')(x)
                return x

        chain, x = Chain(memory), jnp.ones((4096, 256))
        weights = jax.eval_shape(chain.init, jax.random.key(0), x)
        gradient = jax.grad(lambda w, x, chain=chain: chain.apply(w, x).sum())
        program = jax.jit(gradient, compiler_options=compiler_options()).lower(weights, x).compile()
        found[memory] = program.memory_analysis().temp_size_in_bytes
    assert found['balanced'] < 0.9 * found['fast']
    assert found['least'] < 0.9 * found['balanced']


def test_the_memory_of_this_machine_is_known() -> None:
    assert memory_bytes() > 2**28
