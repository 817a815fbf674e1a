"""What the members of a population answer to the splits that are not trained on."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.trees import Targets
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.training.population import Training
from point_ft_jax.training.step import State

Outputs = dict[str, tuple[Any, Targets]]  # of a split: the answers and the targets


class Evaluator:
    """Evaluates a population on prepared splits; it compiles once, at its first call."""

    def __init__(self, training: Training, splits: Mapping[str, Split], batch_size: int) -> None:
        recipe, population = training.recipe, training.population
        answer = functools.partial(recipe.task.answer, recipe.module)
        if population.several:
            self._run = inference.all_in_batches(answer, recipe.mesh, batch_size, population.shared)
        else:
            self._run = inference.in_batches(answer, recipe.mesh, batch_size, check=False)
        self._population = population
        self._frozen = training.frozen
        self._inputs = {
            name: recipe.task.prepare(split, recipe.num_points)
            for name, split in splits.items()
            if name != 'train'
        }

    def outputs(self, state: State) -> list[Outputs]:
        """Each member's answers and the targets, of every split by name; not checked."""
        answers = {name: self._answers(state, *inputs) for name, inputs in self._inputs.items()}
        return [
            {name: (answers[name][k], targets) for name, (_, targets) in self._inputs.items()}
            for k in range(len(self._population.members))
        ]

    def _answers(self, state: State, points: np.ndarray, targets: Targets) -> list[Any]:
        """Each member's answers to a split."""
        if not self._population.several:
            tree = trees.combine(state.weights, self._frozen)
            variables = {'params': tree, 'batch_stats': state.batch_stats}
            return [self._run(variables, points, targets)]
        deltas = {'params': state.weights, 'batch_stats': state.batch_stats}
        answers = self._run((deltas, self._frozen), points, targets)
        members = range(len(self._population.members))
        return [jax.tree.map(lambda array, k=k: array[:, k], answers) for k in members]
