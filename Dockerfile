# The images: `docker build --target tcpx -t tcpx .` and `docker build --target iptables -t tcpx:iptables .` (docs/containers.md).
# Without access to a registry, `make image` makes the first stage on this machine and builds the rest of this file.

FROM rust:1.95-bookworm AS tcpx-tree
RUN apt-get update && apt-get install -y --no-install-recommends iptables libcap2-bin
WORKDIR /source
COPY . .
RUN make static && deploy/tree /tree

FROM scratch AS tcpx
LABEL org.opencontainers.image.title="tcpx" \
      org.opencontainers.image.description="A TCP you can take apart: client, server and laboratory" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=tcpx-tree /tree/tcpx /
HEALTHCHECK --interval=2s --timeout=5s --retries=2 CMD ["tcpx-server", "alive"]
CMD ["tcpx-server", "--help"]

FROM tcpx AS iptables
COPY --from=tcpx-tree /tree/iptables /
