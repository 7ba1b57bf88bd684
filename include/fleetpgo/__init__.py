"""Profile-guided optimisation of a fleet of Go services, from the fleet's own CPU profiles.

Go's compiler inlines and devirtualises better when it is shown where a program really spends its time.
What it wants is one CPU profile that stands for the whole fleet, in the repository, passed to ``go build
-pgo``. What a team wants is that this happens every week without anybody thinking of it, and an honest
answer to "how many cores did it save?". That takes five steps:

1. **Select** (:mod:`fleetpgo.selection`): ask Prometheus which instances burn the CPU.
2. **Collect** (:mod:`fleetpgo.collection`): take a CPU profile of each; some will fail, and are recorded.
3. **Merge** (:mod:`fleetpgo.pprof`): check every profile, add them up, keep what the compiler reads.
4. **Propose** (:mod:`fleetpgo.proposal`, :mod:`fleetpgo.golang`): build with and without the profile, and
   open one pull request.
5. **Measure** (:mod:`fleetpgo.measurement`): after the rollout, compare CPU before and after.

:mod:`fleetpgo.steps` has one file for each stage of the DAG. :mod:`fleetpgo.service` says what a service is,
:mod:`fleetpgo.run` where a run keeps what it makes, and :mod:`fleetpgo.errors` what can go wrong.
:mod:`fleetpgo.overview` shows what the runs have left. Nothing here knows Airflow: the DAG, the operators and
the ``fleetpgo`` command (:mod:`fleetpgo.cli`) are thin layers over these modules.
"""
