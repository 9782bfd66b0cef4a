"""Frozen features and heads, as flags."""

from dataclasses import dataclass

from orchard.errors import OrchardError
from orchard.flags import Kind, Options, option
from trainer.heads.head import HEADS

TRAINED, FROZEN = "trained", "frozen"


@dataclass(frozen=True, kw_only=True)
class HeadOptions(Options, group="network"):
    """Whether the backbone learns, and what stands on it where it does not."""

    features: str = option(
        TRAINED,
        "trained: the whole network learns; frozen: its backbone runs once over the records, and a "
        "head is solved on what it gives.",
        choices=(TRAINED, FROZEN),
        common=True,
    )
    head: str = option("linear", "(frozen) What stands on the features.", choices=HEADS)
    feature_views: int = option(
        1,
        "(frozen) Views of each training image: as it is, and the others augmented as an epoch of "
        "training would.",
        at_least=1,
    )
    feature_cache: str = option(
        "",
        "(frozen) Directory of the features, shared by all runs; default: feature_cache/ beside "
        "the run directory.",
        kind=Kind.BOOKKEEPING,
    )

    @property
    def is_frozen(self) -> bool:
        """Whether only a head learns."""
        return self.features == FROZEN

    def check(self) -> None:
        """Refuse what says something of features that are not kept."""
        super().check()
        if self.is_frozen:
            return
        for flag in HeadOptions.flag_fields():
            value = getattr(self, flag.field)
            if flag.name != "features" and value != flag.default:
                raise OrchardError(
                    f"--{flag.name}={value} is for frozen features; drop it, or add "
                    f"--features={FROZEN}"
                )
