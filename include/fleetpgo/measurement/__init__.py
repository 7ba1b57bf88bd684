"""What a new profile saved, and how sure that is.

A saving is a comparison of two times, and between any two times more than the build changes: traffic, its
mix, the hardware behind it, other releases. So a figure is never given bare. :mod:`.comparison` makes the
plain before-and-after figures that everybody would make by hand, with the PromQL that anybody can paste, and
calls them *raw*. Where part of the fleet stayed on the old build, :mod:`.holdback` uses it as the control
group: what happened to both groups was not the build. Its estimate comes with an interval; where there is
none, the result says that nothing but raw figures is to be had.

The rollout's own start and end are read from the metrics (:mod:`.rollout`). :mod:`.report` says it all to
people.
"""
