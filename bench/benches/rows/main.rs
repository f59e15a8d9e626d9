//! All rows. `cargo bench --manifest-path bench/Cargo.toml [-- FILTER]`.

mod exploration;
mod memory;
mod notifier;
mod reset;
mod step;
mod validator;

use criterion::Criterion;
use shootdown_bench::Table;
use std::path::Path;

fn main() {
    let results = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/criterion"));
    let mut criterion = Criterion::default().output_directory(results).configure_from_args();
    let mut table = Table::new(results);
    step::rows(&mut criterion, &mut table);
    exploration::rows(&mut criterion, &mut table);
    validator::rows(&mut criterion, &mut table);
    memory::rows(&mut criterion, &mut table);
    notifier::rows(&mut criterion, &mut table);
    reset::rows(&mut criterion, &mut table);
    criterion.final_summary();
    println!("\n{table}");
}
