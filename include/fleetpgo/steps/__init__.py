"""The stages of a refresh, one file each, in this order.

Each stage reads the artifacts of earlier stages from the run's store, and writes its own. Each stage may be
repeated: it finds its earlier artifacts, and updates them. The Airflow operators and the ``fleetpgo`` command
call these functions and only adapt their input and output.

:mod:`fleetpgo.run.artifacts` has the artifacts' names in the store.

==================  ========================================================================
stage               what it leaves
==================  ========================================================================
:mod:`.select`      the ``Selection``: the query, the targets, what was left out; one for each
                    window of a run that has them
:mod:`.collect`     a ``FetchedProfile`` and a ``Record`` per instance; a ``Trouble`` for each that
                    answered with a server error; a ``Stop``, if nobody may be asked any more.
                    Further rounds while :mod:`.enough` says there is too little
:mod:`.merge`       the ``MergedProfile``: everything that the instances sent, added up; the
                    ``ProposedProfile``: what will be committed; the ``Manifest``: who gave what,
                    who did not and why (:mod:`.contributions`), and the figures
:mod:`.propose`     ``Proposed``: the pull request and the two builds, or why there is none
:mod:`.wait`        ``Merge``: when the pull request was merged, or why it never will be;
                    ``Rollout``: when the new build went out
:mod:`.measure`     for each period a ``Measurement``, a ``Report``, a ``Picture``; after a
                    regression over the week ``Reverted``: the pull request that reverts it, or
                    why there is none
:mod:`.level`       outside any refresh: a ``Level``
==================  ========================================================================
"""
