"""Options that several tests take."""

from trainer.augment import AugmentOptions

EVERYTHING = AugmentOptions(
    flips="both",
    quarter_turns=True,
    rotate_degrees=10,
    shear=0.1,
    zoom=0.1,
    translate=0.1,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    erase=0.5,
    randaugment_ops=2,
    mixup_alpha=0.2,
    cutmix_alpha=1.0,
)
