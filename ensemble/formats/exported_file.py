"""What becomes of a file of `--formats`: how large it is, and what it loses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExportedFile:
    """A file of `--formats`, and how it compares with the SavedModel.

    Attributes:
        name: of the file.
        runtime: what it was run with.
        num_bytes: its size.
        num_images: how many it was compared on.
        where: their splits.
        most_different: the largest difference of a probability.
        renamed: the share of the images that it names otherwise.
        exact: whether it had to agree.
        metric: what judges what it loses; empty: that was not measured.
        score: of the file.
        score_before: of the SavedModel, on the same images.
        gain: of the score, with its 95% interval.
    """

    name: str
    runtime: str
    num_bytes: int
    num_images: int
    where: str
    most_different: float
    renamed: float
    exact: bool
    metric: str = ""
    score: float | None = None
    score_before: float | None = None
    gain: str = ""

    @property
    def cost(self) -> str:
        """What it loses, in words."""
        if self.exact:
            return "nothing"
        if self.score is None or self.score_before is None:
            return "not measured: there are no labels"
        return (
            f"{self.metric} {self.score:.4f} against {self.score_before:.4f} "
            f"({self.gain}; 95% interval)"
        )

    @property
    def sentence(self) -> str:
        """For the terminal."""
        agrees = (
            f"{self.name} ({self.runtime}): probabilities differ by {self.most_different:.1e} at "
            f"most on {self.num_images} images of {self.where}"
        )
        return f"{agrees}." if self.exact else f"{agrees}; {self.cost}."
