"""A host whose application has named a compiler: that one is no reason against an image, another one is."""

from pathlib import Path

LEFT = (Path(__file__).parents[2] / "files/left.sh").read_text()


def test_it_is_accepted_as_the_applications_own(host):
    assert host.exists("gcc")
    assert host.check_output("sh -c %s left.sh 1", LEFT) == ""
    assert "compiler: /usr/bin/gcc" in host.check_output("sh -c %s left.sh 0", LEFT)
