//! `mmap` + `munmap`, the first write to a page, `mprotect` that splits and merges: ours beside the kernel we run on.
//!
//! Ours runs bare (no validator, no observer, choices not recorded), in the one task of a world, so that every scheduling
//! point is passed as in any run.

use criterion::Criterion;
use ksync::{Kernel, KernelConfig};
use mm::{Machine, MachineConfig, Mm};
use mm_types::{Name, PAGE_SIZE, PageRange, Prot, Vpn};
use mmu_notifier::{Annotations, Framework};
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use sched::FirstScheduler;
use shootdown_bench::Table;
use std::cell::Cell;
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use trace::RunEnd;

/// Pages touched between two mappings in the fault row.
const CHUNK: u64 = 512;
/// Where ours maps.
const AT: Vpn = Vpn(0x10_0000);

/// Runs `body` as the only task of a bare world, in an empty address space; the time it says it took.
fn simulated(body: impl FnOnce(&Kernel, &Mm) -> Duration + 'static) -> Duration {
    let sched = sched::Config { max_steps: u64::MAX, record: false, ..sched::Config::default() };
    let kernel = Kernel::new(KernelConfig { sched, lockdep: None });
    let took = Rc::new(Cell::new(Duration::ZERO));
    let result = Rc::clone(&took);
    kernel.enter(|k| {
        let framework = Framework::new(k, Annotations::default());
        let machine = Machine::new(k, MachineConfig::default(), framework);
        let mm = machine.new_mm(k, Name::new("bench"));
        k.spawn(Name::new("task"), move || {
            result.set(ksync::current(|k| body(k, &mm)));
            mm.exit();
        });
    });
    assert_eq!(kernel.run(&mut FirstScheduler), RunEnd::Finished);
    took.get()
}

fn pages(first: u64, nr_pages: u64) -> PageRange {
    PageRange::with_len(AT + first, nr_pages).expect("a range of user pages")
}

fn map_unmap(iters: u64) -> Duration {
    simulated(move |_, mm| {
        let start = Instant::now();
        for _ in 0..iters {
            let at = mm.mmap_anon(black_box(pages(0, 1)), Prot::READ | Prot::WRITE).expect("mmap");
            mm.munmap(at, PAGE_SIZE).expect("munmap");
        }
        start.elapsed()
    })
}

/// `chunk` is told how many pages to touch, at most [`CHUNK`], and returns how long touching took.
fn by_chunks(iters: u64, mut chunk: impl FnMut(u64) -> Duration) -> Duration {
    let mut left = iters;
    let mut total = Duration::ZERO;
    while left > 0 {
        let now = left.min(CHUNK);
        total += chunk(now);
        left -= now;
    }
    total
}

fn first_touch(iters: u64) -> Duration {
    simulated(move |_, mm| {
        by_chunks(iters, |nr_pages| {
            let at = mm.mmap_anon(pages(0, CHUNK), Prot::READ | Prot::WRITE).expect("mmap");
            let start = Instant::now();
            for page in 0..nr_pages {
                mm.write_page(AT + page, 1).expect("a write");
            }
            let took = start.elapsed();
            mm.munmap(at, CHUNK * PAGE_SIZE).expect("munmap");
            took
        })
    })
}

fn protect(iters: u64) -> Duration {
    simulated(move |_, mm| {
        mm.mmap_anon(pages(0, 3), Prot::READ | Prot::WRITE).expect("mmap");
        let middle = (AT + 1).addr();
        let start = Instant::now();
        for _ in 0..iters {
            mm.mprotect(middle, PAGE_SIZE, Prot::READ).expect("split");
            mm.mprotect(middle, PAGE_SIZE, Prot::READ | Prot::WRITE).expect("merge");
        }
        start.elapsed()
    })
}

/// Anonymous memory of the host, unmapped when dropped.
struct HostPages(*mut c_void, usize);

impl HostPages {
    fn map(nr_pages: u64) -> HostPages {
        let len_bytes = (nr_pages * PAGE_SIZE) as usize;
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: no address is asked for, so nothing that is mapped is replaced.
        let at = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len_bytes, prot, flags) }.expect("mmap");
        HostPages(at, len_bytes)
    }

    /// Huge pages would make one fault of 512.
    fn of_small_pages(nr_pages: u64) -> HostPages {
        let pages = HostPages::map(nr_pages);
        // SAFETY: the range is ours, and the advice changes no contents.
        // A host without huge pages refuses the advice, and needs none.
        let _ = unsafe { rustix::mm::madvise(pages.0, pages.1, Advice::LinuxNoHugepage) };
        pages
    }

    fn page(&self, page: u64) -> *mut c_void {
        self.0.wrapping_byte_add((page * PAGE_SIZE) as usize)
    }
}

impl Drop for HostPages {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `map` and nothing refers to it any more.
        unsafe { rustix::mm::munmap(self.0, self.1) }.expect("munmap");
    }
}

fn host_map_unmap(iters: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..iters {
        drop(black_box(HostPages::map(1)));
    }
    start.elapsed()
}

fn host_first_touch(iters: u64) -> Duration {
    by_chunks(iters, |nr_pages| {
        let pages = HostPages::of_small_pages(CHUNK);
        let start = Instant::now();
        for page in 0..nr_pages {
            // SAFETY: the page is mapped writable, and nobody else knows it.
            unsafe { pages.page(page).cast::<u8>().write_volatile(1) };
        }
        start.elapsed()
    })
}

fn host_protect(iters: u64) -> Duration {
    let pages = HostPages::map(3);
    let start = Instant::now();
    for _ in 0..iters {
        for flags in [MprotectFlags::READ, MprotectFlags::READ | MprotectFlags::WRITE] {
            // SAFETY: the page is ours and nothing reads or writes it.
            unsafe { rustix::mm::mprotect(pages.page(1), PAGE_SIZE as usize, flags) }.expect("mprotect");
        }
    }
    start.elapsed()
}

/// Measures and adds the rows.
pub fn rows(criterion: &mut Criterion, table: &mut Table) {
    type Side = fn(u64) -> Duration;
    let rows: [(&str, &str, Side, Side); 3] = [
        ("mmap + munmap of one page", "mmap_munmap", map_unmap, host_map_unmap),
        ("first write to a page", "first_touch", first_touch, host_first_touch),
        ("mprotect: split, then merge", "mprotect", protect, host_protect),
    ];
    for (what, id, ours, host) in rows {
        let mut group = criterion.benchmark_group(id);
        group.bench_function("ours", |b| b.iter_custom(ours));
        group.bench_function("host", |b| b.iter_custom(host));
        group.finish();
        let peer = format!("{id}/host");
        table.row(what, &format!("{id}/ours"), Some((&peer, "the host kernel")), "no slower than the host");
    }
}
