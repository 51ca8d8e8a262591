"""What is compared takes turns, so that both meet the same moods of the machine."""

from statistics import median


def run_alternating(calls, rounds):
    """Call each in turn, `rounds` times after a first; return lists of seconds.

    `calls` maps names to calls that return the seconds of what they are about.
    """
    seconds = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            taken = call()
            if number:
                seconds[name].append(taken)
    return seconds


def ratio(slower, faster):
    """Median of the ratios of what was timed in the same rounds."""
    return median(a / b for a, b in zip(slower, faster, strict=True))
