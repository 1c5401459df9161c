"""Shell scripts, whatever they are called."""

import shutil

import pytest


@pytest.mark.skipif(
    shutil.which("shellcheck") is None, reason="shellcheck is not installed (apt-get install shellcheck)"
)
def test_shellcheck(run, project_files):
    def is_shell(path):
        with path.open("rb") as file:
            first = file.readline(80)
        return first.startswith(b"#!") and first.split()[-1].rsplit(b"/")[-1] in (b"sh", b"bash", b"dash")

    scripts = [str(path) for path in project_files if is_shell(path)]
    run("shellcheck", "--external-sources", "--check-sourced", *scripts)
