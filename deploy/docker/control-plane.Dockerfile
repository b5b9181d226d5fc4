# syntax=docker/dockerfile:1
# The control plane as an image: one static user, one folder that is written to (/var/lib/probeops), no shell needed at run time.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Pages of memory are up to 64 KiB large on arm64, whatever they are where the image is built.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi \
    && cargo build --release --locked --package control-server && install -D target/release/control-plane /out/control-plane

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/probeops --create-home --shell /usr/sbin/nologin probeops
COPY --from=build /out/control-plane /usr/bin/control-plane
USER 10001:10001
VOLUME /var/lib/probeops
ENV PROBEOPS_DATA_DIR=/var/lib/probeops \
    PROBEOPS_LISTEN=0.0.0.0:8080 \
    PROBEOPS_AGENT_LISTEN=0.0.0.0:8443
EXPOSE 8080 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["control-plane", "health"]
ENTRYPOINT ["control-plane"]
CMD ["run"]
