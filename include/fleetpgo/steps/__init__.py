"""The stages of a refresh, one file each, in this order.

Each reads what the earlier ones left in the run's store, and adds its own. Each may be repeated: it finds
what it left before and brings it up to date. The Airflow operators and the ``fleetpgo`` command call these
functions and add nothing but their manners.

- :mod:`.select`: choose the instances.
- :mod:`.collect`: fetch their profiles; take further rounds while :mod:`.enough` says there is too little.
- :mod:`.merge`: add up the profiles that count (:mod:`.contributions`), and account for every instance.
- :mod:`.propose`: build without and with the profile, and open the pull request.
- :mod:`.wait`: look whether the pull request is merged, the build rolled out, the week over.
- :mod:`.measure`: measure the saving, and say it on the pull request.

==================  ========================================================================
artifact            made by
==================  ========================================================================
selection.json      :mod:`.select`: the query, the targets, what was left out;
                    ``selection-<window>.json`` for each window of a run that has them
profiles/           :mod:`.collect`: a profile and a record per instance
in_trouble/         the same: who answered with a server error
stop.json           the same: why nobody was asked any more
merged.pb.gz        :mod:`.merge`: everything that the instances sent, added up
profile.pprof       the same: what will be committed
manifest.json       the same: who gave what, who did not and why, and the figures
pull_request.json   :mod:`.propose`
merge.json          :mod:`.wait`: when the pull request was merged, or why it never will be
rollout.json        the same: when the new build went out
measure_*           :mod:`.measure`: the saving, as .json, .md and .svg, for ``rollout`` and ``week``
revert.json         the same, after a regression over the week: the pull request that reverts it, or why not
==================  ========================================================================
"""
