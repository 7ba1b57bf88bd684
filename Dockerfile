# fleetpgo on Airflow: what every component of docker-compose.yaml and of the Helm chart runs.
#
#   make image                                       with Docker or Podman, and with a list of what is in it (SBOM)
#   make image BASE=apache/airflow@sha256:…          on a base that nobody can exchange
#   make image CGO=1                                 with a C compiler, for services that are built with cgo
ARG NODE=node:24.11.1-slim
# The slim image holds Airflow's core and no providers; our own lock says which of them are installed. It is compiled
# for Python 3.11, which the tests run, too.
ARG BASE=apache/airflow:slim-3.3.2-python3.11
# On the base's Debian: what is compiled here is linked there.
ARG RUST=rust:1.91.1-slim-bookworm

# What the pages draw with; npm itself stays behind.
FROM ${NODE} AS pages
WORKDIR /pages
COPY package.json package-lock.json .npmrc ./
RUN npm ci

# The inner loops in Rust, as a wheel for the image's own architecture.
FROM ${RUST} AS kernel
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv && python3 -m venv /maturin \
    && /maturin/bin/pip install maturin==1.16.0
COPY kernel /kernel
WORKDIR /kernel
RUN /maturin/bin/maturin build --release --locked --out /wheels

# What takes the symbols out of libraries; the rest of its package stays behind, too.
FROM ${BASE} AS symbols
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && mkdir /strip \
    && cp $(ldd /usr/bin/strip | grep --only-matching '/[^ ]*' | grep --invert-match --extended-regexp '/(libc|ld-linux.*)\.so') \
       /usr/bin/strip /strip

FROM ${BASE}

USER root
ARG CGO=
# A service's own build command is most often make; its repository may keep files in Git LFS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git git-lfs make ${CGO:+gcc libc6-dev} \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/share/doc /usr/share/man /usr/share/locale \
       /usr/lib/git-core/git-daemon /usr/lib/git-core/git-http-backend /usr/lib/git-core/git-http-push \
       /usr/lib/git-core/git-imap-send /usr/lib/git-core/git-shell /usr/bin/git-shell /usr/lib/git-core/scalar /usr/bin/scalar

USER airflow
COPY requirements-production.txt ${AIRFLOW_HOME}/
COPY tools/slim-packages ${AIRFLOW_HOME}/tools/
# Not as a mount of the next step: Buildah 1.28 mounts a stage that it takes from its cache as its base.
COPY --from=symbols /strip /strip
# In one step: what a later one removes stays in the image. Each package must have the digest that the lock names,
# and the lock names all of them. pip compiles only what it installs, and Airflow's image has removed the byte code of
# what it brings: without the last command each task compiles Airflow anew, where the file system cannot be written.
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement ${AIRFLOW_HOME}/requirements-production.txt \
    && LD_LIBRARY_PATH=/strip ${AIRFLOW_HOME}/tools/slim-packages "" /strip/strip \
    && python -m compileall -q -j 0 "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

COPY --from=kernel /wheels ${AIRFLOW_HOME}/wheels
RUN pip install --no-cache-dir --no-deps --no-index ${AIRFLOW_HOME}/wheels/*.whl
COPY --chown=airflow:root pyproject.toml README.md ${AIRFLOW_HOME}/
COPY --chown=airflow:root include ${AIRFLOW_HOME}/include
COPY --chown=airflow:root plugins ${AIRFLOW_HOME}/plugins
COPY --chown=airflow:root dags ${AIRFLOW_HOME}/dags
# Where the plugin looks for it: in the project's folder.
COPY --from=pages --chown=airflow:root /pages/node_modules ${AIRFLOW_HOME}/node_modules
# Editable: service files are looked for beside the package, in include/services.
# Byte code: pip does not compile what stays here.
RUN pip install --no-cache-dir --no-deps --editable ${AIRFLOW_HOME} \
    && python -m compileall -q ${AIRFLOW_HOME}/include ${AIRFLOW_HOME}/plugins ${AIRFLOW_HOME}/dags

# Volumes take owner and mode from these. Any user of group 0 may write: clusters choose the user.
RUN mkdir --parents --mode 775 ${AIRFLOW_HOME}/cache ${AIRFLOW_HOME}/logs
ENV FLEETPGO_CACHE=${AIRFLOW_HOME}/cache

# Last: they change with each build, and would make all that follows new.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="fleetpgo" \
    org.opencontainers.image.description="Profile-guided optimisation of Go services, on Apache Airflow" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
