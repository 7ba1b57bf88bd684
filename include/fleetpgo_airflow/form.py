"""The form by which a person triggers a run of a service's DAG."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import Param

from fleetpgo.service.release import REVISION
from fleetpgo.service.values import written

if TYPE_CHECKING:
    from fleetpgo.service.rules import ServiceRules

NOW = {
    "now": Param(
        default=False,
        type="boolean",
        title="Now",
        description="Profile all instances now, instead of each window's share when it opens.",
    )
}

RELEASE = {
    "release": Param(
        default=None,
        type=["null", "string"],
        pattern=f"^{REVISION}$",
        title="Release",
        description="Profile only instances of this release, named as rollout.revision names it, and propose "
        "its profile as step two of a deployment. Empty: a refresh that is for no release.",
    )
}


def params(service: ServiceRules) -> dict[str, Param]:
    """Return the fields of the form, with the service file's values in them.

    Args:
        service: rules of the service.
    """
    return {
        "instances": Param(
            service.selection.instances,
            type="integer",
            minimum=1,
            maximum=10_000,
            title="Instances",
            description="How many instances to profile in a round, 1 to 10,000. "
            "Up to selection.max_rounds rounds are profiled until there are enough samples.",
        ),
        **_length(service),
        # The form sends an empty field as null, and refuses to send it if null is not allowed.
        "matchers": Param(
            service.selection.matchers or None,
            type=["null", "string"],
            title="Build",
            description="Profile only instances whose build has these labels, written as in PromQL "
            'without braces: revision="4f2a", pgo!="". Empty: every build. '
            "Needs selection.builds in the service file.",
        ),
        **(NOW if service.selection.windows else {}),
        **(RELEASE if service.release else {}),
        **_variants(service),
        "dry_run": Param(
            default=False,
            type="boolean",
            title="Dry run",
            description="Do everything but push and open the pull request.",
        ),
    }


def _variants(service: ServiceRules) -> dict[str, Param]:
    """Return the field for build variants, if the service has some."""
    names = list(service.build.variants)
    if not names:
        return {}
    variants = Param(
        default=[],
        type=["null", "array"],
        items={"type": "string", "enum": names},
        # Of an array with examples the form makes a list to choose from.
        examples=names,
        title="Variants",
        description="Build and benchmark these variants of build.variants beside the profile. The pull "
        "request says what each gives, and proposes none.",
    )
    return {"variants": variants}


def _length(service: ServiceRules) -> dict[str, Param]:
    """Return the field for the length of a profile, or for how far back a store is asked."""
    if service.collection.past:
        window = Param(
            written(timedelta(seconds=service.collection.length)),
            type="string",
            pattern=r"^(\d+[wdhms])+$",
            title="Window",
            description="How far back the store is asked about each instance: 30m, 24h; at most 7d.",
        )
        return {"window": window}
    seconds = Param(
        service.collection.seconds,
        type="integer",
        minimum=1,
        maximum=600,
        title="Seconds",
        description="Length of each CPU profile, 1 to 600 seconds.",
    )
    return {"seconds": seconds}
