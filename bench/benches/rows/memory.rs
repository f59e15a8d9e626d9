//! `mmap` + `munmap`, the first write to a page, `mprotect` that splits and merges, `mremap` that moves, `MADV_DONTNEED`, a
//! fork: ours beside the kernel we run on; and ours among 60,000 VMAs beside ours among 10.
//!
//! Ours runs bare (no validator, no observer, choices not recorded), in the one task of a world, so that every scheduling
//! point is passed as in any run.

use criterion::Criterion;
use ksync::{Kernel, KernelConfig};
use mm::vma::MremapFlags;
use mm::{Machine, MachineConfig, Mm};
use mm_types::{Name, PAGE_SIZE, PageRange, Prot, Vpn};
use mmu_notifier::{Annotations, Framework};
use rustix::mm::{Advice, MapFlags, MprotectFlags, MremapFlags as MremapHostFlags, ProtFlags};
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
/// Pages that `mremap` moves by, that advice is about, that a fork copies the entries of.
const ELSEWHERE: u64 = 600;
const ZAPPED: u64 = 16;
const FORKED: u64 = 10_000;
/// Where ours maps.
const AT: Vpn = Vpn(0x10_0000);

/// VMAs beside those that are measured, far above them, a page apart.
#[derive(Clone, Copy)]
enum Others {
    Few = 10,
    Many = 60_000,
}

/// Runs `body` as the only task of a bare world, in an address space with others; the time it says it took.
fn simulated(others: Others, body: impl FnOnce(&Kernel, &Mm) -> Duration + 'static) -> Duration {
    let sched = sched::Config { max_steps: u64::MAX, record: false, ..sched::Config::default() };
    let kernel = Kernel::new(KernelConfig { sched, lockdep: None });
    let took = Rc::new(Cell::new(Duration::ZERO));
    let result = Rc::clone(&took);
    kernel.enter(|k| {
        let framework = Framework::new(k, Annotations::default());
        let machine = Machine::new(k, MachineConfig::default(), framework);
        let mm = machine.new_mm(k, Name::new("bench"));
        k.spawn(Name::new("task"), move || {
            for n in 0..others as u64 {
                mm.mmap_anon(pages(20_000 + 2 * n, 1), Prot::READ | Prot::WRITE).expect("mmap");
            }
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

fn map_unmap(others: Others, iters: u64) -> Duration {
    simulated(others, move |_, mm| {
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

fn first_touch(others: Others, iters: u64) -> Duration {
    simulated(others, move |_, mm| {
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

fn protect(others: Others, iters: u64) -> Duration {
    simulated(others, move |_, mm| {
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

fn moves(others: Others, iters: u64) -> Duration {
    simulated(others, move |_, mm| {
        mm.mmap_anon(pages(0, 1), Prot::READ | Prot::WRITE).expect("mmap");
        mm.write_page(AT, 1).expect("a write");
        let (one, other) = (AT.addr(), (AT + ELSEWHERE).addr());
        let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
        let start = Instant::now();
        for n in 0..iters {
            let (from, to) = if n % 2 == 0 { (one, other) } else { (other, one) };
            mm.mremap(from, PAGE_SIZE, PAGE_SIZE, flags, Some(to), None).expect("a move");
        }
        start.elapsed()
    })
}

fn dontneed(others: Others, iters: u64) -> Duration {
    simulated(others, move |_, mm| {
        let at = mm.mmap_anon(pages(0, ZAPPED), Prot::READ | Prot::WRITE).expect("mmap");
        let mut total = Duration::ZERO;
        for _ in 0..iters {
            (0..ZAPPED).for_each(|page| mm.write_page(AT + page, 1).expect("a write"));
            let start = Instant::now();
            mm.madvise(at, ZAPPED * PAGE_SIZE, mm::Advice::DontNeed).expect("advised");
            total += start.elapsed();
        }
        total
    })
}

/// The child's exit is not counted, on either side.
fn forks(iters: u64) -> Duration {
    simulated(Others::Few, move |k, mm| {
        mm.mmap_anon(pages(0, FORKED), Prot::READ | Prot::WRITE).expect("mmap");
        (0..FORKED).for_each(|page| mm.write_page(AT + page, 1).expect("a write"));
        let mut total = Duration::ZERO;
        for _ in 0..iters {
            let start = Instant::now();
            let child = mm.fork(k, Name::new("child")).expect("a child");
            total += start.elapsed();
            child.exit();
        }
        total
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

fn host_moves(iters: u64) -> Duration {
    let pages = HostPages::map(ELSEWHERE + 1);
    let (one, other) = (pages.page(0), pages.page(ELSEWHERE));
    // SAFETY: the page is ours and nothing else refers to it.
    unsafe { one.cast::<u8>().write_volatile(1) };
    let start = Instant::now();
    for n in 0..iters {
        let (from, to) = if n % 2 == 0 { (one, other) } else { (other, one) };
        // SAFETY: both places are in the range that was mapped here, and nothing refers to what is at either.
        let moved = unsafe {
            rustix::mm::mremap_fixed(from, PAGE_SIZE as usize, PAGE_SIZE as usize, MremapHostFlags::MAYMOVE, to)
        };
        moved.expect("a move");
    }
    start.elapsed()
}

fn host_dontneed(iters: u64) -> Duration {
    let pages = HostPages::of_small_pages(ZAPPED);
    let mut total = Duration::ZERO;
    for _ in 0..iters {
        // SAFETY: the pages are mapped writable, and nobody else knows them.
        (0..ZAPPED).for_each(|page| unsafe { pages.page(page).cast::<u8>().write_volatile(1) });
        let start = Instant::now();
        // SAFETY: the range is ours, and nothing refers to its contents.
        unsafe { rustix::mm::madvise(pages.0, pages.1, Advice::LinuxDontNeed) }.expect("advised");
        total += start.elapsed();
    }
    total
}

fn host_forks(iters: u64) -> Duration {
    let pages = HostPages::of_small_pages(FORKED);
    // SAFETY: the pages are mapped writable, and nobody else knows them.
    (0..FORKED).for_each(|page| unsafe { pages.page(page).cast::<u8>().write_volatile(1) });
    let mut total = Duration::ZERO;
    for _ in 0..iters {
        let start = Instant::now();
        // SAFETY: the child ends at once, without running anything of this process.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends the child without its parent's destructors.
            unsafe { libc::_exit(0) };
        }
        total += start.elapsed();
        assert!(child > 0, "fork");
        // SAFETY: waits for the child just made.
        unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
    }
    total
}

/// Measures and adds the rows.
pub fn rows(criterion: &mut Criterion, table: &mut Table) {
    type Ours = fn(Others, u64) -> Duration;
    type Host = fn(u64) -> Duration;
    let rows: [(&str, &str, Ours, Host); 5] = [
        ("mmap + munmap of one page", "mmap_munmap", map_unmap, host_map_unmap),
        ("first write to a page", "first_touch", first_touch, host_first_touch),
        ("mprotect: split, then merge", "mprotect", protect, host_protect),
        ("mremap of a touched page to another place", "mremap", moves, host_moves),
        ("madvise: DONTNEED of 16 touched pages", "dontneed", dontneed, host_dontneed),
    ];
    for (what, id, ours, host) in rows {
        let mut group = criterion.benchmark_group(id);
        group.bench_function("ours", |b| b.iter_custom(|iters| ours(Others::Few, iters)));
        group.bench_function("host", |b| b.iter_custom(host));
        group.bench_function("many", |b| b.iter_custom(|iters| ours(Others::Many, iters)));
        group.finish();
        let (mine, peer, many) = (format!("{id}/ours"), format!("{id}/host"), format!("{id}/many"));
        table.row(what, &mine, Some((&peer, "the host kernel")), "no slower than the host");
        table.row(&format!("{what}, among 60,000 VMAs"), &many, Some((&mine, "among 10")), "at most 1.3 x of 10 VMAs");
    }
    let mut group = criterion.benchmark_group("fork");
    group.bench_function("ours", |b| b.iter_custom(forks));
    group.bench_function("host", |b| b.iter_custom(host_forks));
    group.finish();
    let peer = Some(("fork/host", "the host kernel"));
    table.row("fork of 10,000 touched pages", "fork/ours", peer, "no slower than the host");
}
