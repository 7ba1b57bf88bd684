"""The pages in Airflow's own UI: the fleet, and one run of it.

- :mod:`.app`: the routes.
- :mod:`.access`: who may see what, by Airflow's own authorisation, and what Airflow's database knows.
- ``static/``: the pages themselves, and the two libraries packed with them (``static/README.md``).

What is shown comes from :mod:`fleetpgo.overview`.
"""
