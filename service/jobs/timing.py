"""How long the parts of this folder wait for each other."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Spans in seconds; tests make them shorter.

    Attributes:
        lease_s: a job whose owner gave no sign of life for so long is lost, and begun again.
        poll_s: pause between two looks at the queue.
        tell_s: pause between two writes of a running job's progress.
        grace_s: a cancelled job may take so long to stop by itself.
        closing_s: as `grace_s`, when the service stops: whoever stops it does not wait for ever.
        first_wait_s: pause before a lost job is begun again; doubles with every loss.
        longest_wait_s: that pause at most.
    """

    lease_s: float = 30.0
    poll_s: float = 1.0
    tell_s: float = 0.5
    grace_s: float = 30.0
    closing_s: float = 5.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0

    def wait_s(self, losses: int) -> float:
        """Give the pause before a job is begun again that was lost so often."""
        return float(min(self.first_wait_s * 2 ** (losses - 1), self.longest_wait_s))
