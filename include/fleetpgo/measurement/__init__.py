"""What a new build saved, and how sure that is.

A saving is a comparison of two times, and between any two times more than the build changes: traffic, its
mix, the hardware behind it, other releases. So a figure is never given bare. It is an estimate with an
interval, from the estimator that assumes least among those that the data allow, each in its own module:

* :mod:`.holdback` (A): against instances that stayed on the old build. What happened to both was not the
  build.
* :mod:`.weekly` (B): against the week before, adjusted for traffic; earlier weeks tell how far two weeks
  differ without any rollout.
* :mod:`.staggered` (S): while the rollout goes from instance to instance; a first answer, hours after it.
* :mod:`.jump` (E): across the rollout, less the same hours' jump of other weeks; for want of better.

:mod:`.windows` says which times are compared, :mod:`.checking` what makes them unfit to be,
:mod:`.verdict` what may be said: that something was saved, or that it cannot be told and how much would have
been seen. The plain figures that anybody would make by hand, with the PromQL to paste, are given beside,
and called *raw*: they have the traffic in them.

:mod:`.gathering` reads the evidence from Prometheus, :mod:`.frames` from a file, and the simulation study
(docs/measurement.md) from fleets whose saving is known. :mod:`.comparison` concludes, :mod:`.report` and
:mod:`.plot` say it to people, :mod:`.history` over the months.
"""
