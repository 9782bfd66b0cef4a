"""What augmentation there is: the options, and the layout of a parameter row."""

from dataclasses import dataclass

from orchard.flags import Options, option

FLIPS = ("none", "horizontal", "both")

# A row of parameters, in this order. Whatever the options, a row has all columns: it is 80 bytes,
# and its layout doesn't depend on flags.
COLUMNS = (
    "flip_horizontal",  # 0 or 1: left to right
    "flip_vertical",  # 0 or 1: top to bottom
    "quarter_turns",  # 0..3, counter-clockwise
    "rotate",  # radians, counter-clockwise
    "shear",  # columns that a row moves right, per row below the centre
    "zoom",  # factor; above 1 enlarges
    "translate_y",  # part of the height; positive moves down
    "translate_x",  # part of the width; positive moves right
    "brightness",  # factor of all values
    "contrast",  # factor of the distance to the mean grey
    "saturation",  # factor of the distance to the pixel's grey
    "sharpness",  # factor of the distance to the smoothed image
    "posterize",  # step between the grey levels that are left; 1 keeps all
    "solarize",  # values from here on are inverted; 256 keeps all
    "autocontrast",  # 0 or 1: stretch each channel to 0..255
    "erase_height",  # part of the height; 0 erases nothing
    "erase_width",  # part of the width
    "erase_y",  # top of the erased box, as a part of the room there is
    "erase_x",
    "mixup",  # weight of the image itself; 1 mixes nothing
    "cutmix_size",  # side of the partner's box, as a part of the image's; 0 cuts nothing
    "cutmix_y",  # centre of the box, as a part of the height
    "cutmix_x",
)
INDEX = {name: position for position, name in enumerate(COLUMNS)}


@dataclass(frozen=True, kw_only=True)
class AugmentOptions(Options, group="augmentation"):
    """What the training images go through; every option off but for the flips.

    Ranges are symmetric: `rotate_degrees=10` draws uniformly from -10..10, `brightness=0.2` a
    factor from 0.8..1.2. Raises OrchardError for values that cannot be.
    """

    flips: str = option("horizontal", "Random flips.", choices=FLIPS)
    quarter_turns: bool = option(False, "Random rotations by 0, 90, 180 or 270 degrees (square).")
    crop_min_area: float = option(
        1.0,
        "Random resized crops of at least this part of the area, 0..1; 1: none.",
        at_least=0.01,
        at_most=1,
    )
    crop_max_aspect: float = option(
        4 / 3, "Random crops' width to height at most, and its inverse.", at_least=1, at_most=10
    )
    rotate_degrees: float = option(
        0.0, "Random rotation up to this, 0..45.", at_least=0, at_most=45
    )
    shear: float = option(
        0.0, "Random horizontal shear up to this, as a tangent, 0..0.5.", at_least=0, at_most=0.5
    )
    zoom: float = option(
        0.0, "Random zoom by 1 - zoom to 1 + zoom, 0..0.5.", at_least=0, at_most=0.5
    )
    translate: float = option(
        0.0, "Random shift up to this part of each side, 0..0.5.", at_least=0, at_most=0.5
    )
    brightness: float = option(
        0.0, "Random factor of brightness, 1 - this to 1 + this, 0..1.", at_least=0, at_most=1
    )
    contrast: float = option(0.0, "Random factor of contrast, likewise.", at_least=0, at_most=1)
    saturation: float = option(0.0, "Random factor of saturation, likewise.", at_least=0, at_most=1)
    erase: float = option(
        0.0,
        "Probability that a box of 2 to 33 % of the area is erased, 0..1.",
        at_least=0,
        at_most=1,
    )
    randaugment_ops: int = option(
        0, "RandAugment: operations an image; 0: none.", at_least=0, at_most=10
    )
    randaugment_magnitude: float = option(
        9.0, "RandAugment: strength of each operation, 0..10.", at_least=0, at_most=10
    )
    mixup_alpha: float = option(
        0.0, "Mixup: Beta(alpha, alpha) of the ratio; 0: none.", at_least=0, at_most=100
    )
    cutmix_alpha: float = option(
        0.0, "Cutmix: likewise of the area; with mixup: one of the two.", at_least=0, at_most=100
    )

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with partners."""
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0

    @property
    def crops(self) -> bool:
        """Whether the host decodes random crops."""
        return self.crop_min_area < 1

    @property
    def recolours(self) -> bool:
        """Whether brightness, contrast or saturation change, outside RandAugment."""
        return self.brightness > 0 or self.contrast > 0 or self.saturation > 0
