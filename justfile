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
    cargo run --locked --release --example cast -- record assets/sandbox.cast 110x34 84 '14:2 22:3 40:1 46:3 58:4 66:6 72:9 75:hhhh 79:1' -- "$PWD/target/release/foreshadow" sandbox
    cargo run --locked --release --example cast -- gif assets/sandbox.cast assets/sandbox.gif 4

# What reads the bytes of strangers, fuzzed for so many seconds each (needs cargo-fuzz; stable Rust will do)
fuzz SECONDS='600':
    mkdir -p fuzz/corpus/job && cp -n jobs/*.hcl fuzz/corpus/job/ && cp -n policies/*.hcl fuzz/corpus/policy/
    for t in policy job csv access_log nomad consul dns journal store; do cargo fuzz run -s none $t -- -max_total_time={{SECONDS}}; done

# Whose code is linked in, and under which terms
third-party:
    cargo run --locked --example paperwork -- third-party > target/THIRD-PARTY.md && mv target/THIRD-PARTY.md THIRD-PARTY.md

# A bill of materials (CycloneDX), at target/paperwork
sbom:
    mkdir -p target/paperwork
    cargo run --locked --example paperwork -- sbom > target/paperwork/foreshadow.cdx.json

# The picture of what risk tolerance means
risk:
    cargo run --locked --example paperwork -- risk > target/risk.svg && mv target/risk.svg assets/risk.svg

# The table of all keys in docs/policy.md
keys:
    cargo run --locked --example paperwork -- keys docs/policy.md

# A Debian package with unit, manual page and completions (needs cargo-deb)
deb: sbom
    cargo build --locked --release
    mkdir -p target/paperwork/completions target/paperwork/debian
    target/release/foreshadow man > target/paperwork/foreshadow.1
    target/release/foreshadow completions bash > target/paperwork/completions/foreshadow.bash
    target/release/foreshadow completions zsh > target/paperwork/completions/_foreshadow
    target/release/foreshadow completions fish > target/paperwork/completions/foreshadow.fish
    sed 's|/usr/local/bin/foreshadow|/usr/bin/foreshadow|' assets/systemd/foreshadow.service > target/paperwork/debian/foreshadow.service
    cargo deb --no-build
