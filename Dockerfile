# One image for the migration job and the workers: `cdc-masker` with a command. It holds the compiled core, and no compiler.

FROM python:3.11.13-slim-bookworm AS tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# What builds comes from the lock file too; of it, only wheels go on.
COPY requirements.lock ./
RUN python -m venv /build && /build/bin/pip install --require-hashes --requirement requirements.lock

FROM tools AS core
RUN apt-get update && apt-get install --yes --no-install-recommends cargo
COPY native native
RUN /build/bin/maturin build --release --locked --manifest-path native/Cargo.toml --out /dist

FROM tools AS build
COPY requirements.runtime.lock ./
RUN python -m venv /opt/cdc-masker && /opt/cdc-masker/bin/pip install --require-hashes --requirement requirements.runtime.lock
COPY pyproject.toml README.md ./
COPY cdc_masker cdc_masker
COPY migrations migrations
COPY connectors connectors
RUN /build/bin/pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /dist .
COPY --from=core /dist /dist
RUN /opt/cdc-masker/bin/pip install --no-index --no-deps /dist/*.whl

FROM python:3.11.13-slim-bookworm
# The directory of keys is there for a volume to take its owner from.
RUN useradd --uid 10001 --no-create-home masker && install --directory --owner=masker --mode=0700 /keys
COPY --from=build /opt/cdc-masker /opt/cdc-masker
ENV PATH=/opt/cdc-masker/bin:$PATH PYTHONUNBUFFERED=1
USER masker
WORKDIR /tmp
ENTRYPOINT ["cdc-masker"]
CMD ["worker"]
