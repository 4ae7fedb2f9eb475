# The MONAI Application Package, for `cpu` and for `gpu`; docs/container.md. `clickseg package` builds it from a context of
# its own, with only the stages that a target needs. `docker build --target cpu .` does it from a checkout.
# Nothing here is BuildKit's own: it builds with the classic builder, BuildKit and podman.

ARG CPU_BASE_IMAGE=python:3.12-slim-bookworm
ARG BASE_IMAGE=nvcr.io/nvidia/pytorch:26.07-py3

# ---- cpu: OpenVINO; no torch, no MONAI core, no CuPy
FROM ${CPU_BASE_IMAGE} AS cpu-base
USER root
RUN command -v python3 >/dev/null \
 || (apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 >/dev/null \
     && rm -rf /var/lib/apt/lists/* /var/cache/apt)

FROM cpu-base AS cpu-build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
COPY container/environment /build/environment/
RUN /build/environment/make cpu
COPY . /build/source/
ARG VERSION=0.1.0
RUN /build/source/container/assemble /build/source $VERSION cpu

FROM cpu-base AS cpu
COPY --from=cpu-build /opt/clickseg /opt/clickseg
COPY --from=cpu-build /build/root /
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
ARG VERSION=0.1.0
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
ENTRYPOINT ["/opt/holoscan/bin/map"]

# ---- gpu: torch, CUDA and pip constraints of the base image; torch from PyPI where the base has none
FROM ${BASE_IMAGE} AS gpu-base
USER root
RUN command -v python3 >/dev/null \
 || (apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 >/dev/null \
     && rm -rf /var/lib/apt/lists/* /var/cache/apt)

FROM gpu-base AS gpu-build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
COPY container/environment pyproject.toml /build/environment/
RUN /build/environment/make gpu
COPY . /build/source/
ARG VERSION=0.1.0
RUN /build/source/container/assemble /build/source $VERSION gpu

FROM gpu-base AS gpu
COPY --from=gpu-build /opt/clickseg /opt/clickseg
COPY --from=gpu-build /build/root /
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
ARG VERSION=0.1.0
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
ENTRYPOINT ["/opt/holoscan/bin/map"]
