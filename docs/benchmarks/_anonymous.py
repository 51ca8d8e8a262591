"""Memory that no file backs, watched while something is computed."""

import json
import subprocess
import sys
import threading
from pathlib import Path

_INTERVAL = 0.002  # seconds between two looks at the memory in use


def anonymous_bytes():
    """Memory of this process that no file backs."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("/proc/self/status does not tell of anonymous pages; use Linux.")


def peak_above(start, call):
    """Bytes by which memory in use rises above `start` at most during a call."""
    peaks, done = [start], threading.Event()

    def watch():
        while not done.wait(_INTERVAL):
            peaks.append(anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return max(peaks) - start


def run_apart(script, *arguments):
    """Return what a script prints as JSON when run with `--child` and arguments."""
    command = [sys.executable, "-W", "ignore", script, "--child", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
