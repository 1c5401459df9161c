"""Event subscriptions: they can be changed, which moto lacks. They are recorded; nobody is told."""

from __future__ import annotations

from moto.core.responses import ActionResult
from moto.rds.responses import RDSResponse

# What ModifyEventSubscription may change -> what moto calls it.
CHANGED = {
    "SnsTopicArn": "sns_topic_arn",
    "SourceType": "source_type",
    "EventCategories": "event_categories",
    "Enabled": "enabled",
}


def install() -> None:
    """Add the operation."""
    RDSResponse.modify_event_subscription = modify_event_subscription  # type: ignore[attr-defined]


def modify_event_subscription(self: RDSResponse) -> ActionResult:
    # It raises the service's error for a name that there is not.
    (subscription,) = self.backend.describe_event_subscriptions(self.params["SubscriptionName"])
    for name, attribute in CHANGED.items():
        if self.params.get(name) is not None:
            setattr(subscription, attribute, self.params[name])
    return ActionResult({"EventSubscription": subscription})
