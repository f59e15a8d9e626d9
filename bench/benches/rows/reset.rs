//! Making a world ready for its next run.

use criterion::Criterion;
use ksync::{Kernel, KernelConfig};
use lockdep::Lockdep;
use shootdown_bench::Table;

/// Measures and adds the rows.
pub fn rows(criterion: &mut Criterion, table: &mut Table) {
    let kernel = Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() });
    let mut group = criterion.benchmark_group("reset");
    group.bench_function("without_mm", |b| b.iter(|| kernel.reset()));
    group.finish();
    table.row("reset of a world without an mm", "reset/without_mm", None, "<= 0.2 us");
}
