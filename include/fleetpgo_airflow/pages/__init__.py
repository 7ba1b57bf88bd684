"""The pages in Airflow's UI: the fleet, and one run.

- :mod:`.app`: the routes.
- :mod:`.access`: who may see what, by Airflow's own authorisation, and data from Airflow's database.
- :mod:`.files`: the pages' files in ``static/``, and the two libraries that npm installs.

:mod:`fleetpgo.overview` reads what is shown.
"""
