"""Secrets Manager: the whole of a secret's rotation rules. moto keeps the days only."""

from __future__ import annotations

import functools
from typing import Any

from moto.secretsmanager.models import FakeSecret, SecretsManagerBackend


def install() -> None:
    """Change moto's secrets."""
    rotate, cancel, describe = (
        SecretsManagerBackend.rotate_secret,
        SecretsManagerBackend.cancel_rotate_secret,
        FakeSecret.to_dict,
    )

    @functools.wraps(rotate)
    def rotate_by_rules(self: Any, secret_id: str, *args: Any, **kwargs: Any) -> str:
        answer = rotate(self, secret_id, *args, **kwargs)
        if kwargs.get("rotation_rules"):
            self.secrets[secret_id].rotation_rules = dict(kwargs["rotation_rules"])
        return answer

    @functools.wraps(cancel)
    def cancel_rules(self: Any, secret_id: str) -> str:
        """moto cancels no rotation that is another service's, without a Lambda function."""
        secret: Any = self.secrets.get(secret_id)
        if secret is None or secret.rotation_lambda_arn or not secret.rotation_rules:
            answer = cancel(self, secret_id)
        else:
            answer = secret.to_short_dict()
        if secret is not None:
            secret.rotation_enabled, secret.rotation_rules = False, None
        return answer

    @functools.wraps(describe)
    def describe_rules(self: Any) -> dict[str, Any]:
        description = describe(self)
        if not description.get("RotationLambdaARN"):  # a secret that another service manages and rotates
            description.pop("RotationLambdaARN", None)
        if self.rotation_rules:
            description |= {"RotationEnabled": True, "RotationRules": self.rotation_rules}
        elif not self.rotation_enabled:
            description.pop("RotationRules", None)
        return description

    of_older: Any = FakeSecret  # which an older version of this program saved
    of_older.rotation_rules = None
    SecretsManagerBackend.rotate_secret = rotate_by_rules  # type: ignore[method-assign]
    SecretsManagerBackend.cancel_rotate_secret = cancel_rules  # type: ignore[method-assign]
    FakeSecret.to_dict = describe_rules  # type: ignore[method-assign]
