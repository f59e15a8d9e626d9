//! Making a world ready for its next run, and what whole runs cost with everything looking on.

use criterion::Criterion;
use harness::{Experiment, Mode, Recipe, Registry, Soak};
use ksync::{Kernel, KernelConfig};
use lockdep::Lockdep;
use shootdown_bench::Table;

/// Two tasks that do nothing: what is left of a run is its making, its judges and its end.
const EMPTY: &str = r#"
scenario "nothing happens"
mm A { vma 0x10000..0x50000 rw anon }
device gpu : interval_mirror(A, 0x10000..0x50000)
task one { yield }
task two { yield }
"#;

/// One mapping goes away under a driver that has it: a bracket, callbacks, the protocol, allocations, teardown of nothing.
const UNMAP: &str = r#"
scenario "munmap under a mirror"
mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }
device gpu : interval_mirror(A, 0x10000..0x50000)
task maps { gpu.map_write 0x10000..0x12000  gpu.write 0x10000 }
task unmap { munmap A 0x10000..0x12000 }
"#;

fn soak(text: &str) -> Soak {
    let experiment = Experiment::load(&Registry::builtin(), "bench.mms", text).expect("a scenario without mistakes");
    Soak::new(&experiment)
}

/// Measures and adds the rows.
pub fn rows(criterion: &mut Criterion, table: &mut Table) {
    let kernel = Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() });
    let mut group = criterion.benchmark_group("reset");
    group.bench_function("without_mm", |b| b.iter(|| kernel.reset()));
    for (id, text) in [("empty_run", EMPTY), ("unmap_run", UNMAP)] {
        let mut soak = soak(text);
        let mut run = 0;
        group.bench_function(id, |b| {
            b.iter(|| {
                run += 1;
                soak.run(Recipe { mode: Mode::Random, seed: 1, run })
            });
        });
    }
    group.finish();
    table.row("reset of a world without an mm", "reset/without_mm", None, "<= 0.2 us");
    let (empty, unmap) = ("reset/empty_run", "reset/unmap_run");
    table.row("an empty run: 2 tasks, 1 mm, 1 driver, judged", empty, None, "<= 5 us for its reset");
    table.row("a run of map against munmap, judged", unmap, None, "-");
}
