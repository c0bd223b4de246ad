# foreshadow in a container: `docker build -t foreshadow .`, then
#   docker run --network host --read-only -v /etc/foreshadow:/etc/foreshadow:ro -v foreshadow:/var/lib/foreshadow foreshadow
# It speaks to the Nomad and Consul agents of its host over loopback, and its API listens there too (`api = "127.0.0.1:4680"`): hence
# the host's network, and no port of its own. The store (`store = "/var/lib/foreshadow/foreshadow.db"`) is on a volume of the user's below.
# That user, 65532, must be able to read the configuration and every token file (`-e CONSUL_HTTP_TOKEN_FILE=/etc/foreshadow/consul-token`:
# `chown 65532`, mode 0400), and to write a folder that is given in place of the volume. Without `api` none is served: there is no /run.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release --bin foreshadow && strip target/release/foreshadow
RUN mkdir -p -m 0700 /empty/foreshadow

# The binary links nothing beyond glibc and libgcc_s, which `base` would lack.
FROM gcr.io/distroless/cc-debian12
COPY --from=build /src/target/release/foreshadow /usr/bin/foreshadow
COPY --from=build /src/THIRD-PARTY.md /src/LICENSE-MIT /src/LICENSE-APACHE /usr/share/doc/foreshadow/
# Copied by its parent, it keeps its mode: its user alone reads the store.
COPY --from=build --chown=65532:65532 /empty /var/lib
# One heap for all threads, given back as it empties: less memory (docs/scale.md).
ENV GLIBC_TUNABLES=glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=1048576:glibc.malloc.mmap_threshold=262144
USER 65532:65532
VOLUME /var/lib/foreshadow
ENTRYPOINT ["/usr/bin/foreshadow"]
CMD ["run", "--config", "/etc/foreshadow/foreshadow.hcl", "--format", "json", "--log-format", "json"]
