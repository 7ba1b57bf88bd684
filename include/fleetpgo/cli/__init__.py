"""The ``fleetpgo`` command, one file per group of commands."""

import os

# When numpy is loaded, its linear algebra would start a spinning thread for each core; nothing here uses it
# (docs/decisions/0101).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
