"""Terraform's provider from a directory of this machine, where its registry doesn't answer.

Such a directory is Terraform's "filesystem mirror". It is named in a CLI configuration of the project's own,
`CONFIGURATION`, which playbooks and tests hand to Terraform. One of the user's is left alone, and used instead.
"""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bootstrap.report import say

CONFIGURATION = Path(".cache/terraformrc")
REGISTRY = "registry.terraform.io"
PROVIDER = f"{REGISTRY}/hashicorp/aws"
# What a client of the registry asks first.
DISCOVERY = f"https://{REGISTRY}/.well-known/terraform.json"
ANSWER_TIMEOUT = 5  # seconds
# Where packages and people put mirrors, as patterns; TERRAFORM_PROVIDER_MIRROR goes before them.
PLACES = (
    "~/.terraform.d/plugins",
    "/usr/share/terraform*",
    "/usr/share/terraform*/plugins",
    "/usr/local/share/terraform*",
    "/usr/local/share/terraform*/plugins",
    "/opt/*",
    "/srv/*",
)


def users_configuration() -> Path | None:
    """The CLI configuration that Terraform would read, or None where there is none.

    TF_CLI_CONFIG_FILE may name a file that isn't there, and after an earlier call it names ours.
    """
    named = os.environ.get("TF_CLI_CONFIG_FILE")
    path = Path(named).expanduser() if named else Path.home() / ".terraformrc"
    return path if path.is_file() and path.resolve() != CONFIGURATION.resolve() else None


def registry_answers() -> bool:
    """Whether the provider's registry can be reached."""
    try:
        with urllib.request.urlopen(DISCOVERY, timeout=ANSWER_TIMEOUT) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def candidates() -> Iterator[Path]:
    """Directories in which there may be a mirror, the most wanted first."""
    named = os.environ.get("TERRAFORM_PROVIDER_MIRROR")
    if named:
        yield Path(named).expanduser()
    for pattern in PLACES:
        path = Path(pattern).expanduser()
        yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def find_mirror() -> Path | None:
    """The first directory that has the provider in it, or None."""
    for path in candidates():
        try:
            if (path / PROVIDER).is_dir():
                return path
        except OSError:  # nobody else may look into it
            continue
    return None


def main() -> None:
    """Write or remove `CONFIGURATION`; say so when a mirror is used."""
    if users_configuration() is not None or (not os.environ.get("TERRAFORM_PROVIDER_MIRROR") and registry_answers()):
        CONFIGURATION.unlink(missing_ok=True)
        return
    mirror = find_mirror()
    if mirror is None:
        # What is missing is Terraform's to say: it may have the provider in its cache.
        CONFIGURATION.unlink(missing_ok=True)
        say(
            f"Note: {REGISTRY} does not answer, and no directory with {PROVIDER} in it was found"
            " (TERRAFORM_PROVIDER_MIRROR=/path names one; README.md, Behind a firewall)"
        )
        return
    # What the mirror doesn't have is still asked for where it comes from.
    text = (
        "# Written by bootstrap/provider_mirror.py: the registry does not answer.\n"
        "provider_installation {\n"
        f'  filesystem_mirror {{\n    path    = "{mirror}"\n    include = ["{REGISTRY}/*/*"]\n  }}\n'
        f'  direct {{\n    exclude = ["{REGISTRY}/*/*"]\n  }}\n'
        "}\n"
    )
    if not CONFIGURATION.exists() or CONFIGURATION.read_text() != text:
        CONFIGURATION.parent.mkdir(exist_ok=True)
        CONFIGURATION.write_text(text)
        say(f"Terraform's AWS provider is taken from {mirror}: {REGISTRY} does not answer, or you named it")


if __name__ == "__main__":
    main()
