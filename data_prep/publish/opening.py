"""The staging that a path asks for."""

from data_prep.publish.local_staging import LocalStaging
from data_prep.publish.staging import Staging
from orchard import storage
from orchard.errors import OrchardError


def open_staging(data_dir: str, name: str, version: str, direct: bool = False) -> Staging:
    """The staging of a dataset, local or on gs://.

    Args:
        data_dir: where datasets lie.
        name: the dataset's.
        version: the dataset's.
        direct: whether workers, on other machines, write to gs:// themselves.

    Raises:
        OrchardError: no dataset can be published there.
    """
    if storage.is_gcs(data_dir):
        from data_prep.publish.gcs_staging import GcsStaging

        return GcsStaging(data_dir, name, version, direct)
    storage.check_writable(data_dir)
    if storage.is_remote(data_dir):
        raise OrchardError(
            f"{data_dir}: only a local folder and gs:// can publish a dataset as a whole; choose "
            "another --data_dir"
        )
    return LocalStaging(data_dir, name, version)
