"""What each measurement should reach, and cells that say what it did."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """The bar that a number must pass, and the one where it should be.

    Whether more is better is seen from the order of the two.
    """

    must: float
    aim: float

    def verdict(self, value):
        """What of the two a value has reached: "aim", "must" or "missed"."""
        sign = 1 if self.aim > self.must else -1
        if sign * value >= sign * self.aim:
            return "aim"
        return "must" if sign * value >= sign * self.must else "missed"

    def cell(self, value, unit="x"):
        """The value with its verdict."""
        shown = f"{value:.0%}" if unit == "%" else f"{value:.2f}{unit}"
        return f"{shown} {self.verdict(value)}"
