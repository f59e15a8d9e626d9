//! What an address space takes of our own memory: for each VMA that nobody has touched, and for each touched page. Fails above
//! the budgets.

use ksync::{Kernel, KernelConfig};
use mm::{Machine, MachineConfig, Mm};
use mm_types::{Name, PageRange, Prot, Vpn};
use mmu_notifier::{Annotations, Framework};
use sched::FirstScheduler;
use shootdown_bench::Table;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use trace::RunEnd;

/// Bytes asked for and not given back.
static IN_USE: AtomicI64 = AtomicI64::new(0);

struct Counting;

// SAFETY: every call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size().cast_signed() as i64, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size().cast_signed() as i64, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const AT: Vpn = Vpn(0x10_0000);
/// How many VMAs, or pages, there are.
const MANY: u64 = 60_000;
/// Where a VMA is in its tree is its key.
const KEY_BYTES: f64 = 8.0;
/// Of each.
const BUDGET_BYTES: f64 = 64.0;

/// Bytes that `body` leaves in use for each of [`MANY`], in an address space of a bare world.
fn bytes_each(body: impl FnOnce(&Arc<Mm>) + 'static) -> f64 {
    let sched = sched::Config { max_steps: u64::MAX, record: false, ..sched::Config::default() };
    let kernel = Kernel::new(KernelConfig { sched, lockdep: None });
    let bytes = Rc::new(Cell::new(0));
    let result = Rc::clone(&bytes);
    kernel.enter(|k| {
        let framework = Framework::new(k, Annotations::default());
        let config = MachineConfig { memory_bytes: 1 << 30, ..MachineConfig::default() };
        let mm = Machine::new(k, config, framework).new_mm(k, Name::new("bench"));
        k.spawn(Name::new("task"), move || {
            let before = IN_USE.load(Ordering::Relaxed);
            body(&mm);
            result.set(IN_USE.load(Ordering::Relaxed) - before);
            mm.exit();
        });
    });
    assert_eq!(kernel.run(&mut FirstScheduler), RunEnd::Finished);
    bytes.get() as f64 / MANY as f64
}

fn map(mm: &Mm, first: u64, nr_pages: u64) {
    let pages = PageRange::with_len(AT + first, nr_pages).expect("a range of user pages");
    mm.mmap_anon(pages, Prot::READ | Prot::WRITE).expect("mmap");
}

/// Untouched VMAs of one page with a page between, mapped in the order of `place`.
fn vmas(place: fn(u64) -> u64) -> f64 {
    bytes_each(move |mm| (0..MANY).for_each(|n| map(mm, 2 * place(n), 1))) - KEY_BYTES
}

fn touched() -> f64 {
    bytes_each(|mm| {
        map(mm, 0, MANY);
        (0..MANY).for_each(|page| mm.write_page(AT + page, page).expect("a write"));
    })
}

fn main() -> ExitCode {
    let mut table = Table::new(Path::new("."));
    let mut worst: f64 = 0.0;
    let rows = [
        ("an untouched VMA beyond its key, mapped upwards", vmas(|n| n)),
        ("the same, mapped downwards", vmas(|n| MANY - 1 - n)),
        // 7,919 is prime, and no divisor of the number.
        ("the same, mapped here and there", vmas(|n| n * 7919 % MANY)),
        ("a touched page", touched()),
    ];
    for (what, bytes) in rows {
        worst = worst.max(bytes);
        table.figure(what, format!("{bytes:.1} bytes"), "at most 64 bytes");
    }
    println!("{table}");
    if worst <= BUDGET_BYTES { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
