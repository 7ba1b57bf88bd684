"""What a new build saved, and how sure that is.

A saving compares two times, and between any two times more than the build changes: traffic, its mix,
machines, other releases. So fleetpgo never gives a bare figure. It gives an estimate with an interval, from
the estimator that assumes least among those that the data allow. :mod:`.estimators` has one file for each:

* A, hold-back: against instances that kept the old build. What happened to both groups is not the build.
* B, weekly: against the week before, adjusted for traffic. Earlier weeks show how much two weeks differ
  without a rollout.
* S, staggered: while the rollout goes from instance to instance. It answers within hours.
* E, jump: across the rollout, less the same hours' jump of earlier weeks. It is the last resort.

:mod:`.windows` says which times are compared. :mod:`.checking` and :mod:`.disturbances` find what makes data
unfit. :mod:`.verdict` turns an estimate into a call. :mod:`.comparison` puts them together, :mod:`.report`,
:mod:`.terminal` and :mod:`.plot` show the result, and :mod:`.history` lists results over months.

:mod:`.gathering` reads the data from Prometheus, :mod:`.frames` from a file; the simulation study
(docs/measurement.md) makes fleets whose saving is known. The *raw* figures beside every result are the ones
that anybody would compute by hand, with the PromQL to paste. They contain the change of traffic.
"""
