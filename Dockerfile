# Builds the MONAI Application Package, see docs/container.md. `docker build .` makes the CPU image. The GPU image:
#   docker build --build-arg TARGET=gpu --build-arg BASE_IMAGE=nvcr.io/nvidia/pytorch:26.07-py3 .
# `clickseg package` builds both images from its own build context.
# This file uses no feature of BuildKit, so the classic builder and podman can build it too. The classic builder builds
# every stage in the file. So the base image is an argument: one stage for each target would pull both base images.

ARG BASE_IMAGE=python:3.12-slim-bookworm
ARG TARGET=cpu
ARG VERSION=0.1.0

FROM ${BASE_IMAGE} AS base
USER root
RUN command -v python3 >/dev/null \
 || (apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 >/dev/null \
     && rm -rf /var/lib/apt/lists/* /var/cache/apt)

FROM base AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG TARGET
COPY container/environment pyproject.toml /build/environment/
RUN /build/environment/install-python $TARGET
COPY . /build/source/
ARG VERSION
RUN /build/source/container/assemble /build/source $VERSION $TARGET

FROM base
COPY --from=build /opt/clickseg /opt/clickseg
COPY --from=build /build/root /
ENV PATH=/opt/holoscan/bin:/opt/clickseg/bin:$PATH \
    HOLOSCAN_APPLICATION=/opt/holoscan/app \
    HOLOSCAN_INPUT_PATH=/var/holoscan/input \
    HOLOSCAN_OUTPUT_PATH=/var/holoscan/output \
    HOLOSCAN_WORKDIR=/var/holoscan \
    HOLOSCAN_MODEL_PATH=/opt/holoscan/models \
    HOLOSCAN_CONFIG_PATH=/etc/holoscan/app.yaml \
    HOLOSCAN_APP_MANIFEST_PATH=/etc/holoscan/app.json \
    HOLOSCAN_PKG_MANIFEST_PATH=/etc/holoscan/pkg.json \
    HOLOSCAN_DOCS=/opt/holoscan/docs \
    HOLOSCAN_DOCS_PATH=/opt/holoscan/docs \
    HOLOSCAN_LOGS=/var/holoscan/logs \
    HOLOSCAN_LOGS_PATH=/var/holoscan/logs \
    CLICKSEG_METADATA=1 \
    CLICKSEG_CACHE=/tmp/clickseg \
    CUPY_CACHE_DIR=/tmp/cupy \
    HOME=/tmp \
    LOGNAME=clickseg \
    NUMBA_CACHE_DIR=/tmp/numba \
    TORCHINDUCTOR_CACHE_DIR=/tmp/torchinductor \
    PYTHONDONTWRITEBYTECODE=1
ARG TITLE=clickseg
ARG VERSION
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title=$TITLE \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.source=$SOURCE \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.description="DICOM series and clicks in, DICOM SEG out. Research software, not for clinical use." \
      org.monai.deploy.app-sdk=4.0.0
WORKDIR /var/holoscan
USER 10001:10001
ENTRYPOINT ["/opt/holoscan/bin/entrypoint"]
