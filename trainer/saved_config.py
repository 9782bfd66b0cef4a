"""SavedConfig: the content of config.json."""

import dataclasses
from dataclasses import dataclass

from orchard import storage
from orchard.errors import OrchardError
from orchard.flags import Kind
from orchard.formats import Resolved, RunDir, parse
from trainer.config import Change, TrainConfig, changed_flags


@dataclass(frozen=True)
class SavedConfig:
    """What a run directory has of its flags: their values, and the numbers that follow from them.

    Attributes:
        config: the flags.
        resolved: what they came to on this dataset and these devices.
    """

    config: TrainConfig
    resolved: Resolved

    @property
    def sized(self) -> TrainConfig:
        """The flags, with the size of the images: a preset need not be asked for it again."""
        return dataclasses.replace(self.config, image_size=self.resolved.image_size)

    def save(self) -> None:
        """Write config.json into the run directory."""
        values = {**self.config.to_json(), "resolved": vars(self.resolved)}
        storage.write_json(RunDir(self.config.run_dir).config_file, values)

    @classmethod
    def load(cls, run_dir: str) -> "SavedConfig":
        """Read config.json; OrchardError if it is damaged or of another version."""
        path = RunDir(run_dir).config_file
        values = storage.read_json(path)
        try:
            resolved = parse(Resolved, values.pop("resolved"), "resolved")
        except (ValueError, KeyError, AttributeError) as error:
            raise OrchardError(
                f"{path} was damaged or edited: {error}; run the training's command again, which "
                "writes it anew"
            ) from error
        return cls(TrainConfig.from_json(values), resolved)

    def changes_to(self, new: "SavedConfig") -> list[Change]:
        """What differs in `new` and would give another training."""
        before, after = vars(self.resolved), vars(new.resolved)
        return changed_flags(self.config, new.config, Kind.RESULT) + [
            Change(name, value, after[name])
            for name, value in before.items()
            if value != after[name]
        ]
