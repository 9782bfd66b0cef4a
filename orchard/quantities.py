"""Times and amounts of arithmetic as people read them."""


def format_seconds(seconds: float) -> str:
    """A time, such as `3 min 20 s`; parts of a second only where it is short."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def format_number(number: float) -> str:
    """Three digits that count, such as `0.0123`, `1.23` and `12,300`."""
    return f"{float(f'{number:.3g}'):,.10g}"


def format_flops(flops: float) -> str:
    """Floating-point operations, such as `0.772 GFLOPs`."""
    return f"{format_number(flops / 1e9)} GFLOPs"
