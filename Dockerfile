# foreshadow in a container: `docker build -t foreshadow .`, then
#   docker run --network host --read-only -v /etc/foreshadow:/etc/foreshadow:ro -v foreshadow:/var/lib/foreshadow foreshadow
# It speaks to the Nomad and Consul agents of its host over loopback, and its API listens there too: hence the host's network, and no
# port of its own. The store's volume belongs to the user below.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release --bin foreshadow && strip target/release/foreshadow
RUN mkdir -p /empty/var/lib/foreshadow

# The binary links nothing beyond glibc.
FROM gcr.io/distroless/base-debian12
COPY --from=build /src/target/release/foreshadow /usr/bin/foreshadow
COPY --from=build /src/THIRD-PARTY.md /src/LICENSE-MIT /src/LICENSE-APACHE /usr/share/doc/foreshadow/
COPY --from=build --chown=65532:65532 /empty/var/lib/foreshadow /var/lib/foreshadow
USER 65532:65532
VOLUME /var/lib/foreshadow
ENTRYPOINT ["/usr/bin/foreshadow"]
CMD ["run", "--config", "/etc/foreshadow/foreshadow.hcl", "--format", "json"]
