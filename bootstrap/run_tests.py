"""Run pytest with a Docker engine: one that is started for it is stopped at the end, one that ran is left alone.

pytest's closing line is the last line of output.
"""

import signal
import subprocess
import sys
from types import FrameType

from bootstrap import docker_engine


def main() -> int:
    """Run pytest with the given arguments and return its exit code."""
    # Until pytest runs, a signal ends us the way an exception does: through `finally`.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    stop = docker_engine.ensure()
    try:
        docker_engine.ensure_images_can_be_built()
        images = subprocess.run([sys.executable, "-m", "localcloud", "images"], check=False)
        if images.returncode != 0:
            return images.returncode
        return run_pytest(sys.argv[1:])
    finally:
        if stop is not None:
            stop()


def run_pytest(arguments: list[str]) -> int:
    """Run pytest to its end, whatever signal arrives: its fixtures have clouds to take down."""
    pytest = subprocess.Popen([sys.executable, "-m", "pytest", *arguments])

    def ignore(_number: int, _frame: FrameType | None) -> None:
        """Ctrl-C reaches pytest by itself: the terminal sends it to both of us."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        """Pass on as Ctrl-C, which pytest knows how to clean up after."""
        pytest.send_signal(signal.SIGINT)

    # Handlers, not SIG_IGN: an ignored signal would stay ignored in what pytest starts.
    signal.signal(signal.SIGINT, ignore)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    return pytest.wait()


if __name__ == "__main__":
    sys.exit(main())
