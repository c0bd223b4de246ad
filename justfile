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

# The pictures in assets/: screens of one run of the sandbox, and a recording of another as a cast and a GIF
pictures:
    cargo build --locked --release
    target/release/foreshadow screenshot overview,portion,rollout,sites,nodes,shadows,plan,log,replay --sandbox --after 46s --output 'assets/{}.svg'
    target/release/foreshadow screenshot overview,portion,rollout,sites --sandbox --after 46s --output 'assets/{}.png'
    cargo run --locked --release --example cast -- record assets/sandbox.cast 110x34 84 '14:2 22:3 40:1 46:3 58:4 66:6 72:9 75:hhhh 79:1' -- target/release/foreshadow sandbox
    cargo run --locked --release --example cast -- gif assets/sandbox.cast assets/sandbox.gif 4
