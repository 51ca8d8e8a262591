"""Hold a coverage report in JSON to the limits of branches and of excluded lines."""

import json
import sys
from pathlib import Path

MIN_BRANCHES = 0.95
MAX_EXCLUDED = 0.02


def main(report):
    """Print both shares; end with an error when one is beyond its limit."""
    totals = json.loads(Path(report).read_text(encoding="utf-8"))["totals"]
    branches = totals["covered_branches"] / totals["num_branches"]
    statements = totals["num_statements"] + totals["excluded_lines"]
    excluded = totals["excluded_lines"] / statements
    print(f"branches covered: {branches:.1%} (at least {MIN_BRANCHES:.0%})")
    print(f"lines excluded:   {excluded:.1%} (at most {MAX_EXCLUDED:.0%})")
    return int(branches < MIN_BRANCHES or excluded > MAX_EXCLUDED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
