"""The ``fleetpgo`` command, one file per group of commands."""
