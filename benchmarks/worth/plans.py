"""What is compared: contenders that cost the same training compute, and the trainings of each.

The unit is a step of the set's first network on 32 images; a step of another network counts as its
FLOPs say. Evaluations cost nothing here, though ours does one a training and plain Keras none.
"""

from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.worth.sets import NUM_FOLDS

ALL_ROWS = "none"  # What --fold says for them.
ALL_FOLDS = "all"
BATCH_SIZE = 32
# Repeats of a contender differ by more than their trainings among each other do.
SEEDS_A_REPEAT = 100


class Network(NamedTuple):
    """A network of a set.

    Attributes:
        name: for tables.
        architecture: what --architecture takes.
        price: FLOPs of an image, in those of the set's first network.
    """

    name: str
    architecture: str
    price: float


@dataclass(frozen=True)
class Setting:
    """How the networks of a set are trained, by whomever.

    Attributes:
        pretrained: whether they have weights of ImageNet; else they learn from scratch.
        image_size_px: side of the images.
        learning_rate: at the peak, for ours and for plain Keras alike.
        usual_learning_rate: what plain Keras is often given, with label smoothing of 0.1.
        flips: "none", "horizontal" or "both".
        steps: what contenders may spend; each number is a comparison of its own.
        repeats: with other seeds.
        splits: parts of the images that are tested on in turn, by networks trained on the others.
    """

    pretrained: bool
    image_size_px: int
    learning_rate: float
    usual_learning_rate: float
    flips: str
    steps: tuple[int, ...]
    repeats: int
    splits: int = 1


SETTINGS = {
    "solar": Setting(True, 64, 2e-3, 5e-4, "horizontal", (900,), 2, splits=3),
    "fashion": Setting(True, 48, 2e-3, 5e-4, "horizontal", (900,), 2),
    "fashion_10k": Setting(False, 28, 4e-3, 1e-3, "horizontal", (2400, 9600), 2),
    "digits": Setting(False, 28, 4e-3, 1e-3, "none", (900, 9000), 2),
}


@dataclass(frozen=True)
class Training:
    """One command: a network, or one a fold and then some.

    Attributes:
        plain: by Keras' `fit`, not by the trainer.
        network: which one.
        rows: what --fold says.
        steps: of one network; of a fold's where rows is ALL_FOLDS.
        seed: of everything.
        refits: what --refit says.
        recipe: what --recipe says; not of a plain one.
        usual: whether a plain one has the usual learning rate and label smoothing.
        ema_momentum: what --ema_momentum says, where the recipe is not to decide.
        averaged_checkpoints: the weights are the mean of those at so many last evaluations, of
            twice as many; 0: those of the last step.
    """

    plain: bool
    network: Network
    rows: str
    steps: int
    seed: int
    refits: int = 0
    recipe: str = ""
    usual: bool = False
    ema_momentum: float = 0.0
    averaged_checkpoints: int = 0

    @property
    def key(self) -> str:
        """A name for files."""
        how = ("usual" if self.usual else "keras") if self.plain else self.recipe
        named = f"{how}-{self.network.name}-{self.rows}-{self.steps}-seed{self.seed}"
        settings = {
            "refit": self.refits,
            "ema": self.ema_momentum,
            "average": self.averaged_checkpoints,
        }
        return named + "".join(f"-{name}{value}" for name, value in settings.items() if value)


@dataclass(frozen=True)
class Contender:
    """Something to score.

    Attributes:
        name: for tables.
        trainings: what it is made of.
        calibrated: whether its folds give temperatures.
        networks_an_image: forward passes for one image, in those of the set's first network; of
            a cascade the most that it may have, mean over images.
        cascade: whether images leave as soon as those that have seen them are sure.
    """

    name: str
    trainings: tuple[Training, ...]
    calibrated: bool
    networks_an_image: float
    cascade: bool = False


PLAIN = "plain Keras, one network"
# What a cascade may cost in forward passes: little more than the one network that it starts with.
_CASCADE_NETWORKS = 1.25


def contenders(networks: tuple[Network, ...], steps: int, repeat: int) -> list[Contender]:
    """All that may spend so many steps, plain Keras first.

    Args:
        networks: of the set; the first one is trained wherever one is enough.
        steps: what each may spend, in steps of the first network.
        repeat: of what number the seeds are.
    """
    first, seed = networks[0], repeat * SEEDS_A_REPEAT

    def ours(
        network: Network, rows: str, share: float, at: int = 0, recipe: str = "fast", **how
    ) -> Training:
        own = round(steps * share / network.price)
        return Training(False, network, rows, own, seed + at, recipe=recipe, **how)

    # A refit sees the rows as often as a fold's network did: NUM_FOLDS / (NUM_FOLDS - 1) its steps.
    refit = NUM_FOLDS / (NUM_FOLDS - 1)
    price = sum(network.price for network in networks)

    seeds = tuple(ours(first, ALL_ROWS, 1 / 3, at) for at in range(3))
    several = f"{len(networks)} architectures"
    architectures = tuple(ours(one, ALL_ROWS, one.price / price) for one in networks)
    # What matters most comes first: a benchmark that is cut short has it.
    return [
        Contender(PLAIN, (Training(True, first, ALL_ROWS, steps, seed),), False, 1),
        Contender("one network", (ours(first, ALL_ROWS, 1),), False, 1),
        Contender("3 seeds", seeds, False, 3),
        Contender(several, architectures, False, price),
        Contender("3 seeds, cascade", seeds, False, _CASCADE_NETWORKS, cascade=True),
        Contender(f"{several}, cascade", architectures, False, _CASCADE_NETWORKS, cascade=True),
        Contender(f"{NUM_FOLDS} folds", (ours(first, ALL_FOLDS, 1 / NUM_FOLDS),), True, NUM_FOLDS),
        Contender(
            f"{NUM_FOLDS} folds, then 2 on all rows",
            (ours(first, ALL_FOLDS, 1 / (NUM_FOLDS + 2 * refit), refits=2),),
            True,
            2,
        ),
        Contender(
            "one network, moving average", (ours(first, ALL_ROWS, 1, ema_momentum=0.99),), False, 1
        ),
        Contender(
            "one network, 5 checkpoints averaged",
            (ours(first, ALL_ROWS, 1, averaged_checkpoints=5),),
            False,
            1,
        ),
        Contender("one network, best", (ours(first, ALL_ROWS, 1, recipe="best"),), False, 1),
        Contender(
            "plain Keras, usual rate and smoothing",
            (Training(True, first, ALL_ROWS, steps, seed, usual=True),),
            False,
            1,
        ),
    ]
