"""Python: lint, format, types."""


def test_ruff_check(run):
    run("ruff", "check", ".")


def test_ruff_format(run):
    run("ruff", "format", "--check", "--diff", ".")


def test_mypy_strict(run):
    run("mypy")
