"""What the benchmarks share: timing, the machine in words, tables on a page."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from statistics import median

import torch


def median_seconds(call, repeats=5, warmup=1):
    """Median wall-clock seconds of a call without arguments."""
    for _ in range(warmup):
        call()
    return median(seconds_of(call) for _ in range(repeats))


def seconds_of(call):
    """Wall-clock seconds of one call, work queued on an accelerator included."""
    start = time.perf_counter()
    call()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - start


def describe_machine():
    """Cores used, instruction set, accelerator and versions, in one line."""
    cores = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count()
    )
    instructions = torch.backends.cpu.get_cpu_capability()
    if getattr(torch.cpu, "_is_amx_tile_supported", bool)():
        instructions += " and AMX"
    used = f"{torch.get_num_threads()} of {cores} cores"
    parts = [f"{used} ({platform.machine()}, {instructions})"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    versions = f"torch {torch.__version__}", f"Python {platform.python_version()}"
    return ", ".join((*parts, *versions))


def describe_commit():
    """The commit that is measured, with a plus where files differ from it."""

    def ask(*arguments):
        folder = Path(__file__).parent
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = ask("status", "--porcelain", "--untracked-files=no", "--", "../../skvit")
    return (ask("rev-parse", "--short", "HEAD") or "unknown") + "+" * bool(changed)


def rst_table(header, rows):
    """Text of a simple reStructuredText table; cells are turned into strings."""
    lines = [[str(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "  ".join("=" * width for width in widths)

    def to_line(cells):
        padded = (c.ljust(w) for c, w in zip(cells, widths, strict=True))
        return "  ".join(padded).rstrip()

    first, *rest = map(to_line, lines)
    return "\n".join([rule, first, rule, *rest, rule])


def update_page(path, sections):
    """Replace what stands on a page between `.. begin: NAME` and `.. end: NAME`.

    `sections` maps names to text. The page keeps every word outside of them, so that
    prose is written by hand and numbers by the script that measured them.

    Raises
    ------
    ValueError
        If the page has no such place for a section.
    """
    path = Path(path)
    page = path.read_text(encoding="utf-8")
    for name, text in sections.items():
        begin, end = f".. begin: {name}\n", f".. end: {name}\n"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(page):
            raise ValueError(
                f"{path} must hold the lines {begin.strip()!r} and {end.strip()!r} for "
                "the script to write between; found none. Add them."
            )
        replacement = f"{begin}\n{text.strip()}\n\n{end}"
        page = pattern.sub(lambda _, new=replacement: new, page)
    path.write_text(page, encoding="utf-8")
