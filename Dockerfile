# fleetpgo on Airflow: what every component of docker-compose.yaml and of the Helm chart runs.

# What the pages draw with; npm itself stays behind.
FROM node:24.11.1-slim AS pages
WORKDIR /pages
COPY package.json package-lock.json .npmrc ./
RUN npm ci

# The slim image holds Airflow's core and no providers; which of them are installed is said by our own lock.
FROM apache/airflow:slim-3.3.2-python3.12

USER root
# A service's own build command is most often make; its repository may keep files in Git LFS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git git-lfs make \
    && rm -rf /var/lib/apt/lists/*

USER airflow
COPY requirements-production.txt ${AIRFLOW_HOME}/
RUN pip install --no-cache-dir --requirement ${AIRFLOW_HOME}/requirements-production.txt

COPY --chown=airflow:root pyproject.toml README.md ${AIRFLOW_HOME}/
COPY --chown=airflow:root include ${AIRFLOW_HOME}/include
COPY --chown=airflow:root plugins ${AIRFLOW_HOME}/plugins
COPY --chown=airflow:root dags ${AIRFLOW_HOME}/dags
# Where the plugin looks for it: in the project's folder.
COPY --from=pages --chown=airflow:root /pages/node_modules ${AIRFLOW_HOME}/node_modules
# Editable: service files are looked for beside the package, in include/services.
# Byte code: pip compiles what it installs, and not what stays here; a read-only file system cannot take any later.
RUN pip install --no-cache-dir --no-deps --editable ${AIRFLOW_HOME} \
    && python -m compileall -q ${AIRFLOW_HOME}/include ${AIRFLOW_HOME}/plugins ${AIRFLOW_HOME}/dags

# Volumes take owner and mode from these. Any user of group 0 may write: clusters choose the user.
RUN mkdir --parents --mode 775 ${AIRFLOW_HOME}/cache ${AIRFLOW_HOME}/logs
ENV FLEETPGO_CACHE=${AIRFLOW_HOME}/cache
