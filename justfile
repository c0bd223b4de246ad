# One front door. The recipes are CI's steps; `just all` is what `tests/run` and `.ci/run` do.

default:
    @just --list

# Everything that CI checks
all:
    tests/run

# A real Consul, unpacked without touching the system's packages
setup:
    tests/setup

format:
    cargo fmt --all --check

lint:
    cargo clippy --locked --all-targets -- -D warnings

build:
    cargo build --locked --release

test *ARGS:
    FORESHADOW_BIN="$PWD/target/release/foreshadow" cargo test --locked --all-targets --no-fail-fast {{ARGS}}

# Licences, bans and sources of dependencies (advisories need their database: `cargo deny check advisories`)
deny:
    cargo deny check bans licenses sources

# The pretend estate with its dashboard
sandbox *ARGS:
    cargo run --locked --release -- sandbox {{ARGS}}
