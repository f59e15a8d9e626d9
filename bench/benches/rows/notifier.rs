//! Announcing: brackets beside many subscribers, reclaim beside many mappings, invalidations through each shipped driver,
//! and runs of the museum.

use criterion::Criterion;
use harness::museum::Exhibit;
use harness::{Experiment, Mode, Recipe, Registry, Soak};
use ksync::{Kernel, KernelConfig};
use lockdep::Lockdep;
use mm::{Machine, MachineConfig, Mm};
use mm_types::{Name, PAGE_SIZE, PageRange, Prot, Vpn};
use mmu_notifier::{Annotations, Framework, IntervalNotifier, IntervalSub, MmHost, Subscriptions};
use shootdown_bench::Table;
use std::sync::Arc;
use std::time::Instant;
use trace::{AccessModel, NotifyEvent, NotifyRange};

const FIRST: Vpn = Vpn(0x10_0000);
const RW: Prot = Prot::READ.union(Prot::WRITE);
/// Interval subscribers of a page each, all in one address space.
const SUBSCRIBERS: [u64; 4] = [0, 1, 1_000, 1_000_000];
/// Pages reclaimed at once.
const RECLAIMED: u64 = 10_000;
/// Invalidations in one run of a driver.
const ROUNDS: u64 = 256;

/// A bracket around nothing; `iommu_sva` hears of flushes only, so that it needs pages that go.
const BRACKET: &str = "notify A 0x10000..0x12000 {}";
const FLUSH: &str = "madvise A 0x10000..0x12000 MADV_DONTNEED";

/// How each shipped driver comes to translations. `sgx_encl` hears of the end of an address space only.
const DRIVERS: [(&str, &str); 15] = [
    ("amdgpu_userptr", "submit 0x10000..0x12000"),
    ("amdkfd_svm", "map 0x10000..0x12000"),
    ("device_memory", "write 0x10000..0x12000"),
    ("dmirror", "fault 0x10000..0x12000"),
    ("gntdev", "map 0x10000..0x12000"),
    ("hfi1_cache", "send 0x10000..0x12000"),
    ("i915_userptr", "get_pages 0x10000..0x12000"),
    ("interval_mirror", "map_write 0x10000..0x12000"),
    ("iommu_sva", "write 0x10000"),
    ("kvm", "write 0x10000"),
    ("mlx5_implicit_odp", "write 0x10000"),
    ("mlx5_odp", "prefetch 0x10000..0x12000"),
    ("nouveau_svm", "write 0x10000"),
    ("vhost_vq", "write 0x10000"),
    ("xe_userptr", "bind 0x10000..0x12000"),
];

/// Exhibits of two tasks: one that takes a lock and a page, one with a look-up against `mprotect`, one with reclaim in both.
const MUSEUM: [(&str, &str); 4] = [
    ("hugetlb-migrate-lock-order", include_str!("../../../sim/scenarios/museum/hugetlb-migrate-lock-order.mms")),
    ("vhost-metadata-notifier", include_str!("../../../sim/scenarios/museum/vhost-metadata-notifier.mms")),
    ("vb2-gup-vs-mmap-lock", include_str!("../../../sim/scenarios/museum/vb2-gup-vs-mmap-lock.mms")),
    ("kvm-tdp-iterator-skip", include_str!("../../../sim/scenarios/museum/kvm-tdp-iterator-skip.mms")),
];

struct Quiet;

impl IntervalNotifier for Quiet {
    fn name(&self) -> Name {
        Name::new("quiet")
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn invalidate(&self, sub: &IntervalSub, _range: &NotifyRange, cur_seq: u64) -> bool {
        sub.set_seq(cur_seq);
        true
    }
}

/// With the validator, without anybody who records.
fn address_space() -> (Kernel, Arc<Mm>) {
    let kernel = Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() });
    let mm = kernel.enter(|k| {
        let config = MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() };
        Machine::new(k, config, Framework::new(k, Annotations::default())).new_mm(k, Name::new("a"))
    });
    (kernel, mm)
}

fn pages(start: u64, len: u64) -> PageRange {
    PageRange::with_len(FIRST + start, len).expect("not empty")
}

fn brackets(criterion: &mut Criterion, table: &mut Table) {
    let (kernel, mm) = address_space();
    let mut group = criterion.benchmark_group("bracket");
    let mut there = 0;
    for subscribers in SUBSCRIBERS {
        let id = format!("beside_{subscribers}");
        if !Table::wants(&format!("bracket/{id}")) {
            continue;
        }
        kernel.enter(|_| {
            for at in there..subscribers {
                Subscriptions::interval_insert(&*mm, pages(at, 1), Arc::new(Quiet)).expect("inserted");
            }
            there = subscribers;
            let mut round = 0;
            group.bench_function(&id, |b| {
                b.iter(|| {
                    round += 1;
                    // A stride that visits all of the tree.
                    let pages = pages((round * 7919) % subscribers.max(1), 1);
                    let (mm_id, event) = (mm.mm_id(), NotifyEvent::Clear);
                    let range = NotifyRange { mm: mm_id, pages, event, blockable: true, owner: None };
                    mm.subscriptions().invalidate_range_start(range).end();
                });
            });
        });
    }
    group.finish();
    for subscribers in SUBSCRIBERS {
        let what = format!("start and end beside {subscribers} subscribers, one met");
        table.row(&what, &format!("bracket/beside_{subscribers}"), None, "O(log n + k)");
    }
}

/// Pages reclaimed in a second from an address space of so many mappings, the best of three times.
fn reclaimed_per_second(mappings: u64) -> f64 {
    let mut best: f64 = 0.0;
    for _ in 0..3 {
        let (kernel, mm) = address_space();
        kernel.enter(|_| {
            mm.mmap_anon(pages(0, RECLAIMED), RW).expect("mapped");
            mm.touch(pages(0, RECLAIMED), true).expect("touched");
            // Every so many pages a read-only one: all mappings are in the reverse map of one `anon_vma`.
            for vpn in (0..mappings / 2).map(|at| FIRST + at * 2 * (RECLAIMED / mappings.max(2))) {
                mm.mprotect(vpn.addr(), PAGE_SIZE, Prot::READ).expect("changed");
            }
            let start = Instant::now();
            let freed = mm.reclaim_pages(pages(0, RECLAIMED));
            best = best.max(freed as f64 / start.elapsed().as_secs_f64());
        });
    }
    best
}

fn reclaim(table: &mut Table) {
    if !Table::wants("reclaim") {
        return;
    }
    for mappings in [1, 100, 10_000] {
        let measured = format!("{:.2} M pages/s", reclaimed_per_second(mappings) / 1e6);
        table.figure(&format!("reclaim of {RECLAIMED} pages of {mappings} mappings"), measured, "-");
    }
}

fn soak(name: &str, text: &str) -> Soak {
    let experiment = Experiment::load(&Registry::builtin(), name, text).expect("a scenario without mistakes");
    Soak::new(&experiment)
}

/// The driver looks pages up and publishes them, a bracket takes them away, again and again; everything is judged.
fn drivers(criterion: &mut Criterion, table: &mut Table) {
    let mut group = criterion.benchmark_group("invalidation");
    group.sample_size(20);
    let text = |device: &str, step: &str| {
        let invalidation = if step.contains("iommu") { FLUSH } else { BRACKET };
        format!(
            "scenario \"invalidations\"\nmm A {{ vma 0x10000..0x50000 rw anon  touch 0x10000..0x12000 }}\n{device}\n\
             task t {{ repeat {ROUNDS} {{ {step} {invalidation} }} }}\n"
        )
    };
    let of_driver = |driver: &str, step: &str| {
        text(&format!("device {driver} : {driver}(A, 0x10000..0x50000)"), &format!("{driver}.{step} "))
    };
    let nobody = ("nobody", text("", ""));
    let all = DRIVERS.iter().map(|(driver, step)| (*driver, of_driver(driver, step)));
    for (driver, text) in std::iter::once(nobody).chain(all) {
        let mut soak = soak("invalidations.mms", &text);
        let mut run = 0;
        group.bench_function(driver, |b| {
            b.iter(|| {
                run += 1;
                let brief = soak.run(Recipe { mode: Mode::Benign, seed: 1, run });
                assert!(brief.found.is_empty(), "{driver}: {:?}", brief.found);
                brief
            });
        });
    }
    group.finish();
    let rounds = (ROUNDS as f64, ROUNDS as f64);
    for driver in std::iter::once("nobody").chain(DRIVERS.iter().map(|(driver, _)| *driver)) {
        let bare = (driver != "nobody").then_some(("invalidation/nobody", "a bracket nobody hears"));
        let what = format!("look-up and invalidation of two pages: {driver}");
        table.row_per(&what, &format!("invalidation/{driver}"), bare, rounds, "-");
    }
}

/// Random runs of fixed versions, all oracles on.
fn museum(criterion: &mut Criterion, table: &mut Table) {
    let mut group = criterion.benchmark_group("museum");
    for (name, text) in MUSEUM {
        let mut soak = soak(name, &Exhibit::fixed_text(text));
        let mut run = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                run += 1;
                soak.run(Recipe { mode: Mode::Random, seed: 1, run })
            });
        });
    }
    group.finish();
    for (name, _) in MUSEUM {
        table.row(&format!("a run of {name}"), &format!("museum/{name}"), None, "<= 20 us: 50,000 a second");
    }
}

/// Measures and adds the rows.
pub fn rows(criterion: &mut Criterion, table: &mut Table) {
    brackets(criterion, table);
    reclaim(table);
    drivers(criterion, table);
    museum(criterion, table);
}
