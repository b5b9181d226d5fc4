# syntax=docker/dockerfile:1
# The probe agent as an image. The program carries CAP_NET_RAW as a file capability, so that it works as a plain user with
# `--cap-drop=ALL --cap-add=NET_RAW`; with `no-new-privileges` or without NET_RAW it pings by datagram sockets instead and says so.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package probe-agent && install -D target/release/probe-agent /out/probe-agent

FROM debian:bookworm-slim
RUN useradd --system --uid 10002 --home-dir /var/lib/probe-agent --create-home --shell /usr/sbin/nologin probe-agent \
    && chmod 0700 /var/lib/probe-agent \
    && apt-get update && apt-get install --yes --no-install-recommends libcap2-bin && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/probe-agent /usr/bin/probe-agent
RUN setcap cap_net_raw=ep /usr/bin/probe-agent
COPY deploy/agent.toml /etc/probeops/agent.toml
USER 10002:10002
VOLUME /var/lib/probe-agent
ENV PROBEOPS_STATE_DIR=/var/lib/probe-agent \
    PROBEOPS_AGENT_CONFIG=/etc/probeops/agent.toml \
    PROBEOPS_JOIN_BUNDLE_FILE=/run/secrets/join-bundle
STOPSIGNAL SIGTERM
ENTRYPOINT ["probe-agent"]
CMD ["run"]
