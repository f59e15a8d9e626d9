# `cargo install just` is optional: every line below is an ordinary command.

# One run of a scenario, or any other command of the tool: `just run explore FILE`.
run *ARGS="run sim/scenarios/userptr-reclaim.mms":
    cargo run --release -- {{ARGS}}

# All tests.
test *ARGS:
    cargo test --workspace --release {{ARGS}}

# What must pass before a change lands.
ci:
    .ci/run

# Our costs beside the peers'. `just bench FILTER` for some of them.
bench *ARGS:
    cargo bench --manifest-path bench/Cargo.toml -- {{ARGS}}

# How the cost of announcing grows with subscribers, and that of reclaim with mappings: figures, and the picture of docs/growth.md.
growth PICTURE="docs/notifier-growth.svg":
    cargo run --release -p mm --example notifier_growth {{PICTURE}}

# The notifier protocol on OS threads. `just stress ROUNDS THREADS SEED`.
stress *ARGS:
    cargo run --release -p mmu-notifier --example stress -- {{ARGS}}

# Fuzzes a reader (scenario, strace, maps, lockdep, locktrace): executions, coverage, and the input if one fails.
fuzz TARGET SECONDS="60":
    fuzz/run {{TARGET}} {{SECONDS}}

# The API documentation.
docs:
    cargo doc --workspace --no-deps --open

# Formats everything.
fmt:
    cargo fmt --all
    cargo fmt --manifest-path bench/Cargo.toml
    cargo fmt --manifest-path fuzz/Cargo.toml
