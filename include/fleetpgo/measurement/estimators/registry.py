"""All estimators, fewest assumptions first. The first that the data allow gives the headline."""

from __future__ import annotations

from fleetpgo.measurement.estimators import holdback, jump, level, staggered, weekly

ESTIMATORS = (holdback.ESTIMATOR, weekly.ESTIMATOR, staggered.ESTIMATOR, jump.ESTIMATOR)

_BY_LETTER = {each.letter: each for each in ESTIMATORS}


def label(letter: str) -> str:
    """Return what the estimator compares, in words.

    A record may come from another version of fleetpgo and name an estimator that this one does not have; the
    label says so.
    """
    if letter == level.LETTER:  # measured outside any rollout, so it is none of ESTIMATORS
        return level.LABEL
    known = _BY_LETTER.get(letter)
    return known.label if known else f"by estimator {letter}, which this version of fleetpgo does not have"


def early(letter: str) -> bool:
    """Return whether cold caches would look like a regression to this estimator; true of an unknown one."""
    known = _BY_LETTER.get(letter)
    return known is None or known.traits.early


def between_times(letter: str) -> bool:
    """Return whether another deploy would look like a saving to this estimator; true of an unknown one."""
    known = _BY_LETTER.get(letter)
    return known is None or known.traits.between_times
