//! Memory of a device, mapped a GiB at a time: who takes such an entry away, what is announced then, what can be seen after it.

use crate::common::{Context, World, bytes, pages, register};
use crate::huge::{GIB, announced, world};
use crate::recorded::RW;
use ksync::{Kernel, KernelConfig};
use mm::vma::{FileId, MapFlags, MmapArgs, MmapBacking, MremapFlags};
use mm::{Advice, FaultError, Machine, MachineConfig, Mm, PageCategories, Quirks, device};
use mm_types::{Errno, Name, PageRange, Prot, VirtAddr, Vpn};
use mmu_notifier::{Annotations, Framework};
use sched::FirstScheduler;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use trace::{EventKind, NotifyEvent, RunEnd};

/// The arena lies at the start of a GiB.
const BASE: Vpn = crate::common::ARENA;

const MOVED: MremapFlags = MremapFlags::MAYMOVE.union(MremapFlags::FIXED);

fn dax_args(world: &World, name: &str, start: u64, len: u64, flags: MapFlags) -> MmapArgs {
    dax_args_of(world.kernel.enter(|_| world.machine.open_dax(name)), start, len, flags)
}

fn dax_args_of(file: FileId, start: u64, len: u64, flags: MapFlags) -> MmapArgs {
    MmapArgs {
        addr: (BASE + start).addr(),
        len_bytes: bytes(len),
        prot: RW,
        flags: flags | MapFlags::FIXED,
        backing: MmapBacking::File { file, readable: true, writable: true },
        offset_bytes: 0,
    }
}

/// Two GiB of a device, a page of each written; one subscriber.
fn mapped(world: &World) -> Arc<Mm> {
    let mm = world.new_mm("a");
    let (setup, args) = (Arc::clone(&mm), dax_args(world, "pmem0", 0, 2 * GIB, MapFlags::SHARED));
    world.run(Context::Setup, move || {
        setup.mmap(&args).expect("mapped");
        setup.write_page(BASE + 5, 7).expect("written");
        setup.write_page(BASE + GIB, 8).expect("written");
        register(&setup, 1);
    });
    mm
}

fn at(page: u64) -> VirtAddr {
    (BASE + page).addr()
}

type Act = fn(&Mm) -> Result<(), Errno>;
/// What one task does, and what it read.
type Step = Box<dyn FnOnce(&Mm) -> Vec<Result<u64, FaultError>>>;

/// What is announced while `act` runs, and whether the two GiB are mapped afterwards.
#[track_caller]
fn check(act: Act, outcome: Result<(), Errno>, brackets: &[(NotifyEvent, u64)], left: [bool; 2]) {
    let world = world();
    let mm = mapped(&world);
    let other = Arc::clone(&mm);
    let done = world.run(Context::Task, move || act(&other));
    assert_eq!(done, outcome);
    announced(&world, brackets);
    assert_eq!([0, GIB].map(|page| mm.pte(BASE + page).is_present()), left);
    // Whatever happened to the entries, the device has what was written to it.
    let again = Arc::clone(&mm);
    let seen = world.run(Context::Setup, move || [5, GIB].map(|page| again.read_page(BASE + page)));
    for (seen, value) in seen.into_iter().zip([7, 8]) {
        assert!(
            seen == Ok(value) || matches!(seen, Err(FaultError::NotMapped(_) | FaultError::NotAllowed(_))),
            "{seen:?}"
        );
    }
}

#[test]
fn a_gib_goes_whole_and_a_part_of_one_splits_it() {
    use NotifyEvent::{Clear, ProtectionVma, SoftDirty, Unmap};
    let all = PageRange::ALL.nr_pages();
    check(|mm| mm.munmap(at(0), bytes(GIB)), Ok(()), &[(Unmap, GIB)], [false, true]);
    check(|mm| mm.munmap(at(5), bytes(1)), Err(Errno::EINVAL), &[], [true, true]);
    check(|mm| mm.madvise(at(0), bytes(GIB), Advice::DontNeed), Ok(()), &[(Clear, GIB)], [false, true]);
    // One page is asked for: inside of its bracket the whole GiB is announced.
    check(|mm| mm.madvise(at(5), bytes(1), Advice::DontNeed), Ok(()), &[(Clear, 1), (Clear, GIB)], [false, true]);
    check(|mm| mm.madvise(at(5), bytes(1), Advice::Cold), Ok(()), &[(Clear, GIB)], [false, true]);
    check(|mm| mm.madvise(at(GIB), bytes(2), Advice::PageOut), Ok(()), &[(Clear, GIB)], [true, false]);
    check(|mm| mm.mincore(at(5), bytes(1)).map(drop), Ok(()), &[(Clear, GIB)], [false, true]);
    check(|mm| mm.mprotect(at(5), bytes(1), Prot::READ), Err(Errno::EINVAL), &[], [true, true]);
    check(|mm| mm.mprotect(at(0), bytes(2 * GIB), Prot::READ), Ok(()), &[(ProtectionVma, 2 * GIB)], [true, true]);
    check(|mm| mm.mprotect(at(0), bytes(GIB), Prot::empty()), Ok(()), &[(ProtectionVma, GIB)], [false, true]);
    check(|mm| mm.clear_refs(4), Ok(()), &[(SoftDirty, all), (Clear, GIB), (Clear, GIB)], [false, false]);
    let scan: Act = |mm| {
        let _: u64 = mm.pagemap_scan(pages(0, 8));
        Ok(())
    };
    // To write-protect it there would have to be a userfaultfd for it, which there cannot.
    check(scan, Ok(()), &[(ProtectionVma, 8)], [true, true]);
    let look: Act = |mm| {
        let _: Vec<PageCategories> = mm.page_categories(pages(0, 8));
        Ok(())
    };
    check(look, Ok(()), &[(Clear, GIB)], [false, true]);
    let guard: Act = |mm| mm.madvise(at(5), bytes(1), Advice::GuardInstall);
    check(guard, Err(Errno::EINVAL), &[], [true, true]);
}

#[test]
fn what_is_mapped_is_one_entry_and_a_child_faults_its_own() {
    let world = world();
    let mm = mapped(&world);
    let entries = world.count(|kind| matches!(kind, EventKind::PudSet { old, .. } if old.is_none()));
    assert_eq!((entries, world.count(|kind| matches!(kind, EventKind::PteSet { .. }))), (2, 0));
    let machine = Arc::clone(&world.machine);
    let parent = Arc::clone(&mm);
    world.run(Context::Task, move || {
        let child = ksync::current(|k| parent.fork(k, mm_types::Name::new("child"))).expect("forked");
        assert!(!child.pte(BASE + 5).is_present(), "a fault makes it again");
        assert_eq!(child.read_page(BASE + 5), Ok(7));
        child.write_page(BASE + 6, 9).expect("written");
        assert_eq!(parent.read_page(BASE + 6), Ok(9), "it is shared");
        let held = device::pin_user_pages(&parent, pages(5, 2), true).expect("pinned");
        assert_eq!((held.len(), machine.frame_counts().pinned), (2, 2));
        parent.munmap(at(0), bytes(2 * GIB)).expect("unmapped");
        assert_eq!(held.iter().map(|pfn| device::frame_read(&machine, *pfn)).collect::<Vec<_>>(), [7, 9]);
        held.iter().for_each(|pfn| device::unpin_user_page(&machine, *pfn));
        child.exit();
        parent.exit();
        let counts = machine.frame_counts();
        assert_eq!((counts.allocated, counts.mapped, counts.pinned), (0, 0, 0));
    });
}

#[test]
fn a_device_is_mapped_shared_by_whole_gib_and_as_far_as_it_goes() {
    let world = world();
    let mm = world.new_mm("a");
    for (start, len, flags, outcome) in [
        (0, GIB, MapFlags::SHARED, Ok(())),
        (0, GIB, MapFlags::PRIVATE, Err(Errno::EINVAL)),
        (8, GIB, MapFlags::SHARED, Err(Errno::EINVAL)),
        (0, 8, MapFlags::SHARED, Err(Errno::EINVAL)),
    ] {
        let (mm, args) = (Arc::clone(&mm), dax_args(&world, "pmem1", start, len, flags));
        let mapped = world.run(Context::Setup, move || mm.mmap(&args).map(drop));
        assert_eq!(mapped, outcome, "{start} {len}");
    }
    let args = MmapArgs { offset_bytes: bytes(16 * GIB), ..dax_args(&world, "pmem1", 0, GIB, MapFlags::SHARED) };
    let seen = world.run(Context::Setup, move || {
        mm.mmap(&args).expect("mapped");
        mm.read_page(BASE)
    });
    assert_eq!(seen, Err(FaultError::BeyondFile(BASE)));
}

#[test]
fn a_move_takes_the_entries_along_and_splits_what_does_not_fit() {
    for (to, left) in [(8 * GIB, true), (8 * GIB + 512, false)] {
        let world = world();
        let mm = mapped(&world);
        let other = Arc::clone(&mm);
        let fault = world.run(Context::Task, move || {
            let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
            let (from, len) = (at(0), bytes(2 * GIB));
            other.mremap(from, len, len, flags, Some(at(to)), None).expect("moved");
            other.read_page(BASE + to + 5)
        });
        assert_eq!(mm.pte(BASE + to).is_present(), left);
        // `check_vma()` of the driver refuses a mapping that is not aligned any more.
        assert_eq!(fault, if left { Ok(7) } else { Err(FaultError::BeyondFile(BASE + to + 5)) });
    }
}

/// What the first CPU reads of two pages of a GiB that it has written to, after the other CPU has taken that away.
fn read_after(act: Act, quirks: Quirks) -> Vec<Result<u64, FaultError>> {
    let kernel = Kernel::new(KernelConfig::default());
    let result = Rc::new(RefCell::new(Vec::new()));
    let out = Rc::clone(&result);
    kernel.enter(|k| {
        let config = MachineConfig { quirks, ..MachineConfig::default() };
        let machine = Machine::new(k, config, Framework::new(k, Annotations::default()));
        let mm = machine.new_mm(k, Name::new("a"));
        mm.mmap(&dax_args_of(machine.open_dax("pmem0"), 0, GIB, MapFlags::SHARED)).expect("mapped");
        let steps: [Step; 3] = [
            Box::new(|mm| {
                mm.write_page(BASE + 5, 7).expect("written");
                Vec::new()
            }),
            Box::new(move |mm| {
                act(mm).expect("done");
                Vec::new()
            }),
            // On the first one's CPU: there are two.
            Box::new(|mm| vec![mm.read_page(BASE + 5), mm.read_page(BASE + 6)]),
        ];
        for step in steps {
            let (mm, out) = (Arc::clone(&mm), Rc::clone(&out));
            k.spawn(Name::new("task"), move || out.borrow_mut().extend(step(&mm)));
        }
    });
    assert_eq!(kernel.run(&mut FirstScheduler), RunEnd::Finished);
    result.take()
}

#[test]
fn a_cpu_translates_a_whole_gib_by_what_it_has_until_that_is_flushed() {
    let acts: [Act; 3] = [
        |mm| mm.munmap(at(0), bytes(GIB)),
        |mm| mm.mprotect(at(0), bytes(GIB), Prot::empty()),
        |mm| mm.mremap(at(0), bytes(GIB), bytes(GIB), MOVED, Some(at(4 * GIB)), None).map(drop),
    ];
    for act in acts {
        assert!(read_after(act, Quirks::empty()).iter().all(Result::is_err));
        assert_eq!(read_after(act, Quirks::FLUSH_OTHER_CPUS), [Ok(7), Ok(0)]);
    }
}
