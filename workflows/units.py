"""Numbers as a person reads them."""


def duration(seconds: float) -> str:
    """Give seconds as 0.4 s, 42 s, 3 min 10 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Give bytes in powers of ten, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"


def short(count: float) -> str:
    """Give a count in few letters: 950, 12.5 k, 3 M."""
    for unit in ("", " k", " M"):
        if count < 1000:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.4g} G"


def plural(count: int, noun: str) -> str:
    """Give a count with its noun: 1 slide, 2 slides."""
    ending = "" if count == 1 else "es" if noun.endswith("tch") else "s"
    return f"{count:,} {noun}{ending}"
