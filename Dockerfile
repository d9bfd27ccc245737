# One image for the migration job and the workers: `cdc-masker` with a command.

FROM python:3.11.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# The build's own tools come from the lock file too; of it, only the wheel goes on.
COPY requirements.lock ./
RUN python -m venv /build && /build/bin/pip install --require-hashes --requirement requirements.lock
COPY requirements.runtime.lock ./
RUN python -m venv /opt/cdc-masker && /opt/cdc-masker/bin/pip install --require-hashes --requirement requirements.runtime.lock
COPY pyproject.toml README.md ./
COPY cdc_masker cdc_masker
COPY migrations migrations
COPY connectors connectors
RUN /build/bin/pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /dist . \
    && /opt/cdc-masker/bin/pip install --no-index --no-deps /dist/*.whl

FROM python:3.11.13-slim-bookworm
# The directory of keys is there for a volume to take its owner from.
RUN useradd --uid 10001 --no-create-home masker && install --directory --owner=masker --mode=0700 /keys
COPY --from=build /opt/cdc-masker /opt/cdc-masker
ENV PATH=/opt/cdc-masker/bin:$PATH PYTHONUNBUFFERED=1
USER masker
WORKDIR /tmp
ENTRYPOINT ["cdc-masker"]
CMD ["worker"]
