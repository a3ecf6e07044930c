"""What an array library's side measures of a bench."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Nanoseconds of each iteration; most bytes in use beyond the inputs, and nanoseconds that it takes the host to
    queue one call (None: not known); in words how the times were taken."""

    each: list
    peak: int | None
    host: float | None
    by: str
