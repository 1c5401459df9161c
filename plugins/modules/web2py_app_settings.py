#!/usr/bin/python
"""Ansible module: write settings into a web2py application's private/appconfig.ini."""

from __future__ import annotations

import configparser
import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: web2py_app_settings
short_description: Write settings into a web2py application's private/appconfig.ini
description:
  - Reads and writes the file with C(configparser), as web2py's C(AppConfig) reads it. C(community.general.ini_file)
    replaces the first line of a value only, and takes C(Name) and C(name) for two options; web2py refuses both.
  - Other options keep their values. Comments are lost.
  - One change for all of them, and none where the file says the same.
options:
  path: {description: The file. It is made where there is none., type: path, required: true}
  settings:
    description: "C({section: {option: value}}). A list becomes its members with commas between them."
    type: dict
    default: {}
  secrets:
    description:
      - The same with the name of a secret for each value. It wins over O(settings).
      - One that is not in O(values) is left out.
    type: dict
    default: {}
  values:
    description: "C({name: value}) of secrets."
    type: dict
    default: {}
extends_documentation_fragment: [ansible.builtin.files]
"""


def wanted(settings: Mapping[str, Any], secrets: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """{section: {option: line}} of both."""
    found: dict[str, dict[str, str]] = {}
    for section, options in settings.items():
        for option, value in options.items():
            line = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            found.setdefault(section, {})[option] = line
    for section, options in secrets.items():
        for option, name in options.items():
            if name in values:
                found.setdefault(section, {})[option] = str(values[name])
    return found


def changed(text: str, settings: Mapping[str, Mapping[str, str]]) -> str:
    """The file with these settings. configparser.Error: web2py couldn't read it either."""
    parser = configparser.RawConfigParser()
    # An option that is not ours keeps its name as it is written; to web2py `Name` and `name` are one.
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    for section, options in settings.items():
        if not parser.has_section(section):
            parser.add_section(section)
        for option, value in options.items():
            for other in parser.options(section):
                if other.lower() == option.lower():
                    parser.remove_option(section, other)
            parser.set(section, option, value)
    written = io.StringIO()
    parser.write(written)
    return written.getvalue()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "settings": {"type": "dict", "default": {}, "no_log": True},
            "secrets": {"type": "dict", "default": {}, "no_log": False},
            "values": {"type": "dict", "default": {}, "no_log": True},
        },
        add_file_common_args=True,
        supports_check_mode=True,
    )
    path = Path(module.params["path"])
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else None
        settings = wanted(*(module.params[name] for name in ("settings", "secrets", "values")))
        after = changed(before or "", settings)
    except (configparser.Error, UnicodeDecodeError) as error:
        module.fail_json(msg=f"{path} can't be read: {error}")
    if after != before and not module.check_mode:
        descriptor, name = tempfile.mkstemp(dir=module.tmpdir)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(after)
        module.atomic_move(name, str(path))
    arguments = module.load_file_common_arguments(module.params)
    module.exit_json(changed=module.set_fs_attributes_if_different(arguments, after != before))


if __name__ == "__main__":
    main()
