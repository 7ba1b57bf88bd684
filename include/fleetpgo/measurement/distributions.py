"""Quantiles of the t and the F distribution.

scipy.special is imported when the first quantile is needed: it takes up to a second, and the pages and the
command line read labels and records without any.
"""

from __future__ import annotations

CONFIDENCE = 0.95


def t_quantile(degrees: float, confidence: float = CONFIDENCE) -> float:
    """Return how many standard errors the two-sided interval reaches to each side."""
    from scipy import special  # noqa: PLC0415  # see the module's docstring

    # As scipy.stats.t.ppf; importing scipy.stats takes a second more.
    return float(special.stdtrit(degrees, (1 + confidence) / 2))


def f_quantile(numerator: float, denominator: float) -> float:
    """Return the 95 % quantile of the F distribution."""
    from scipy import special  # noqa: PLC0415  # see the module's docstring

    return float(special.fdtri(numerator, denominator, CONFIDENCE))
