"""The archive of an application: what makes it another one."""

import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from programs import as_module

PROGRAM = Path(__file__).parents[2] / "plugins/modules/web2py_app_archive.py"


def test_with_another_configuration_the_same_files_are_another_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = as_module(PROGRAM, monkeypatch)
    (tmp_path / "controllers").mkdir()
    (tmp_path / "controllers/default.py").write_text("def index(): return 'a'\n")
    files = program.application_files(tmp_path)
    packed = {text: program.pack(files, "shop", "/var/lib", text) for text in ("", "[{}, {}]", "[{a: 1}, {}]")}
    assert len({release for _, release in packed.values()}) == 3
    assert program.pack(files, "shop", "/var/lib", "") == packed[""]
    for content, release in packed.values():
        with tarfile.open(fileobj=BytesIO(content)) as archive:
            assert {name.split("/")[0] for name in archive.getnames()} == {release}
