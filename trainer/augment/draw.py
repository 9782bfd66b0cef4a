"""The host's part of augmentation: a row of parameters an image, from (seed, epoch, record)."""

import zlib

import numpy as np
import tensorflow as tf

from trainer import prng
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation, Drawn, Mixing, Reach
from trainer.augment.ops.randaugment import RandAugment
from trainer.augment.ops.random_crop import RandomCrop
from trainer.augment.options import AugmentOptions

_NUM_SHARED = 50  # Uniform numbers a record that the oldest augmentations share.
_MIX_CHOICE = 44  # The one among them that decides between mixup and cutmix.


def draw_parameters(
    seed: int, epochs: tf.Tensor, gids: tf.Tensor, options: AugmentOptions
) -> tf.Tensor:
    """Draws parameters: TensorFlow ops on integers' hashes, alike eagerly and in tf.data.

    Args:
        seed: the run's seed.
        epochs: int64 [n], or one for all.
        gids: int64 [n], the records.
        options: what to draw.

    Returns:
        float32 [n, k], a row of `options.columns` for each record.
    """
    numbers = _Numbers(seed, epochs, gids)
    chosen = _chosen_mixing(numbers, options)
    drawn: Drawn = {}
    for augmentation in options.members:
        on = chosen.get(augmentation, augmentation.enabled)
        if isinstance(augmentation, Mixing) and not options.mixing:
            drawn |= augmentation.neutral(numbers.count)
        else:
            drawn |= _where(on, augmentation, augmentation.draw(numbers.own(augmentation)))
    drawn |= _randaugment(numbers, drawn, options)
    return tf.stack([drawn[name] for name in options.columns], axis=1)


def draw_eagerly(
    seed: int, epoch: int | np.ndarray, gids: np.ndarray, options: AugmentOptions
) -> np.ndarray:
    """`draw_parameters` outside of a pipeline, on the host.

    Args:
        seed: the run's seed.
        epoch: one for all, or int [n].
        gids: int [n], the records.
        options: what to draw.

    Returns:
        float32 [n, k], a row of `options.columns` for each record.
    """
    with tf.device("CPU"):
        return draw_parameters(seed, epoch, gids, options).numpy()


def draw_crops(seed: int, epochs: tf.Tensor, gids: tf.Tensor) -> tf.Tensor:
    """Uniform numbers for `decode.random_window`, float32 [n, 4]."""
    return _Numbers(seed, epochs, gids).own(RandomCrop())


class _Numbers:
    """Uniform numbers of some records: each use has its own, so that one more changes no other."""

    def __init__(self, seed: int, epochs: tf.Tensor, gids: tf.Tensor):
        self._gids = tf.convert_to_tensor(gids, tf.int64)
        self.count = tf.shape(self._gids)[0]
        epochs = tf.broadcast_to(tf.convert_to_tensor(epochs, tf.int64), tf.shape(self._gids))
        self._key = (seed, epochs, prng.AUGMENT_SALT)
        self.shared = prng.tf_uniforms(prng.tf_mix_key(*self._key), self._gids, _NUM_SHARED)

    def own(self, augmentation: Augmentation) -> tf.Tensor:
        """What it draws its parameters from, float32 [n, num_uniforms]."""
        first, count = augmentation.first_uniform, augmentation.num_uniforms
        if first is None:
            return self._stream(augmentation)[:, :count]
        return self.shared[:, first : first + count]

    def priority(self, augmentation: Augmentation, parameter: int) -> tf.Tensor:
        """What RandAugment chooses a parameter by, float32 [n]."""
        return self._stream(augmentation)[:, augmentation.num_uniforms + parameter]

    def _stream(self, augmentation: Augmentation) -> tf.Tensor:
        names = {kind: name for name, kind in AUGMENTATIONS.items()}
        salt = zlib.crc32(names[type(augmentation)].encode())
        count = augmentation.num_uniforms + len(augmentation.parameters)
        return prng.tf_uniforms(prng.tf_mix_key(*self._key, salt), self._gids, count)


def _randaugment(numbers: _Numbers, drawn: Drawn, options: AugmentOptions) -> Drawn:
    """The parameters that RandAugment changes."""
    policy = options[RandAugment]
    if not policy.enabled:
        return {}
    own = numbers.own(policy)
    reached: list[tuple[int, str, Reach, tf.Tensor]] = []
    for augmentation in options.members:
        for number, p in enumerate(augmentation.parameters):
            if p.reach and p.reach.place is not None:
                reached.append((p.reach.place, p.name, p.reach, own[:, p.reach.place]))
            elif p.reach:
                priority = numbers.priority(augmentation, number)
                reached.append((policy.num_uniforms, p.name, p.reach, priority))
    reached.sort(key=lambda found: found[0])
    priorities = tf.stack([priority for *_, priority in reached], axis=1)
    return policy.move(drawn, {name: reach for _, name, reach, _ in reached}, priorities, own)


def _chosen_mixing(numbers: _Numbers, options: AugmentOptions) -> dict[Augmentation, tf.Tensor]:
    """Which images have which mixing, bool [n]: each has one of what is on."""
    choice = tf.floor(numbers.shared[:, _MIX_CHOICE] * len(options.mixing))
    # Backwards: of mixup and cutmix, cutmix has the smaller numbers.
    return {mixing: choice == n for n, mixing in enumerate(reversed(options.mixing))}


def _where(on: bool | tf.Tensor, augmentation: Augmentation, drawn: Drawn) -> Drawn:
    """The drawn values if the augmentation is on, else neutral ones."""
    return {
        p.name: drawn[p.name] if p.neutral is None else tf.where(on, drawn[p.name], p.neutral)
        for p in augmentation.parameters
    }
