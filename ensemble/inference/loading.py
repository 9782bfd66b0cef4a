"""SavedModels of members and ensembles: loaded, or named in one line."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from ensemble.members import Member, check_contents
from orchard import storage
from orchard.errors import OrchardError, in_one_line


class LoadedMember:
    """A member in memory: a function from images to logits.

    Args:
        member: what to load; under the scope of the strategy that will run it.

    Attributes:
        saved_model: the object that holds its variables.
        variables: those that its logits depend on.

    Raises:
        OrchardError: its files are not those that its run exported, or cannot be loaded.
    """

    def __init__(self, member: Member):
        # One copy of what lies on gs://, to compare and to load.
        with storage.local_copy(member.saved_model_dir) as folder:
            check_contents(member, folder)
            self.saved_model = load_saved_model(folder, f"member {member.path}")
        signatures = self.saved_model.signatures
        if "images" not in signatures:
            raise OrchardError(
                f"member {member.path}: its saved_model has the signatures {sorted(signatures)} "
                "but not `images`; export it again with this version of the trainer"
            )
        self._images = signatures["images"]
        self.variables = self._images.variables

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Images uint8 [batch, height, width, 3] -> logits float32 [batch, classes]."""
        return self._images(images=images)["logits"]


def load_saved_model(path: str, owner: str) -> tf.Module:
    """`tf.saved_model.load` with one line instead of a traceback for a damaged or absent model.

    From gs:// by way of a local copy: a byte that changed on its way there would go unnoticed.

    Args:
        path: its folder.
        owner: what it belongs to, for the error.

    Raises:
        OrchardError: it cannot be loaded.
    """
    try:
        with storage.local_copy(path) as folder, _without_wildcards(folder) as name:
            return tf.saved_model.load(name)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, tf.errors.OpError) as error:
        reason = in_one_line(error)
        raise OrchardError(
            f"{owner}: its SavedModel cannot be loaded ({reason}); it is damaged or incomplete: "
            "export it again"
        ) from error


@contextmanager
def _without_wildcards(folder: str) -> Iterator[str]:
    """A name of a folder that means nothing else: TensorFlow takes that of its variables as a glob.

    Of the folder `runs[1]` it would look for the variables in `runs1`.
    """
    if not re.search(r"[*?\[\]\\]", folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="orchard-") as place:
        link = os.path.join(place, "saved_model")
        os.symlink(os.path.abspath(folder), link)
        yield link
