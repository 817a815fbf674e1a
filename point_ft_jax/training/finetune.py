"""Fine-tuning of a classifier on arrays, in one call."""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from point_ft_jax.checkpoints import pretrained
from point_ft_jax.core import devices, trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.data import augment, split
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.models import create_model
from point_ft_jax.models.build import known
from point_ft_jax.training import optimizer, schedules, step
from point_ft_jax.training.fit import fit
from point_ft_jax.training.plan import TrainingPlan


def finetune(
    data: Split,
    *,
    checkpoint: str | None = None,
    backbone: str = 'recon',
    variant: str = 'tiny',
    method: str = 'dapt',
    epochs: int = 20,
    batch_size: int = 32,
    lr: float = 5e-4,
    seed: int = 0,
    geometry: Mapping[str, object] | None = None,
) -> Callable[[np.ndarray], np.ndarray]:
    """Fine-tunes a classifier on labelled clouds.

    A tenth of every class is held out to select the best epoch.

    Args:
        data: the clouds; see `Split.from_arrays`.
        checkpoint: what to take the backbone from, a .pth file, the folder of a run or
            'shipped:recon_tiny'; None for random weights.
        backbone, variant, method, geometry: see `models.create_model`.
        epochs, batch_size, lr, seed: of the training.

    Returns:
        A function of clouds [S, N, 3] to class probabilities [S, C], in the order of
        `data.classes`.

    Raises:
        UserError: an unknown name, or a checkpoint or data that do not fit.
    """
    mesh = make_mesh()
    training, validation = split.hold_out(data, 0.1, seed)
    num_points = data.points.shape[1]
    fields = {**known(backbone, {'num_groups': min(64, num_points)}), **(geometry or {})}
    built = create_model(
        backbone, len(data.classes), variant=variant, method=method, geometry=fields
    )
    variables, report = pretrained.load_pretrained(built, checkpoint, seed=seed)
    if report:
        devices.say(f'{checkpoint}: {report}')
    schedule = schedules.make_schedule(
        'cosine_by_step',
        lr,
        epochs=epochs,
        warmup=min(3, epochs - 1),
        steps_per_epoch=max(len(training) // batch_size, 1),
    )
    recipe = step.Recipe(
        module=built.module,
        tx=optimizer.make(schedule, weight_decay=0.05, clip=10.0),
        schedule=schedule,
        num_points=num_points,
        augment=augment.named('scale_translate'),
        mesh=mesh,
    )
    trainable = trees.select(variables['params'], built.trainable)
    splits = {'train': training, 'validation': validation}
    fitted = fit(recipe, variables, trainable, splits, TrainingPlan(epochs, batch_size, seed))
    predict = inference.make_predict(built.module, mesh, batch_size)

    def classify(points: np.ndarray) -> np.ndarray:
        logits = predict(fitted.variables, inference.prepare(points, num_points))
        return np.asarray(jax.nn.softmax(logits))

    return classify
