"""Print tests/constraints.txt with each dependency at its lower bound instead."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main():
    """Take the lower bounds from pyproject.toml, everything else from the pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = dict(line.split(">=") for line in project["dependencies"])
    for line in (ROOT / "tests/constraints.txt").read_text().splitlines():
        name = line.partition("==")[0]
        print(f"{name}=={oldest[name]}" if name in oldest else line)


if __name__ == "__main__":
    main()
