"""`ab` for the load tests: Debian's apache2-utils, installed where it is missing."""

import shutil

from bootstrap import packages


def main() -> None:
    """Make sure that ab is on the PATH."""
    if shutil.which("ab") is None:
        packages.install("apache2-utils", purpose="it has ab, which the ladder of load tests uses")


if __name__ == "__main__":
    main()
