//! What the tests of the language share: the reference scenario and a vocabulary that knows it.

use scenario::{DriverWords, OptionKind, Parameter, ParameterKind, RangeRule, Vocabulary, ast::LockKind};

/// A scenario with every section in it and most of the statements.
pub(crate) const SKETCH: &str = r#"
scenario "userptr against munmap"
kernel 6.12                               # optional preset
expect { LD-CIRCULAR }
machine { cpus 2  memory 64M  swap 16M  seed 7 }
annotations { range_start global  range_end shared  wrap_start always  wrap_end subscribed
              prime {registration, take_all_locks, fs_reclaim}  touch {read_begin, remove}
              other_callbacks own  srcu checked }
mm A { vma 0x10000..0x50000 rw anon  vma 0x60000..0x70000 r file "libc.so" offset 0x1000 shared   touch 0x10000..0x20000 }
mm B { forked }
globals { mutex big  rwsem tree  spinlock slock  word pte 2  word seq }
device gpu0 : i915_userptr(A, 0x10000..0x50000) { mutant "some-name"  batch 8  flavour old }
device toy  : interval(A, 0x10000..0x50000) {      # an inline driver
    mutex vm_lock
    rwsem tree
    on invalidate(range) { if blockable { sleep } else { refuse }  with vm_lock { set_seq  zap range } }
    op bind(range) { retry { read_begin  fault range  with vm_lock { check_retry  map range } } }
    op kick { with read tree { flush ; sync kicked } }
}
device ear : list(A) {
    on start(range) { refuse }
    on end(range) { flush }
    on release { zap 0x10000..0x50000 }
}
task ioctl  { with toy.vm_lock { alloc 1 GFP_KERNEL  toy.map 0x10000..0x12000 } }
task unmap  { munmap A 0x10000..0x12000 }
task mem    { reclaim A 0x10000..0x12000 ; reclaim 32 pages ; compact A 0x10000..0x12000 }
task rest {
    mmap A 0x80000..0x90000 rw anon
    mmap A 0x90000..0xa0000 rx file "a b" shared
    mprotect A 0x80000..0x81000 none
    brk A 0x100010
    read A 0x80001   write A 0x80002   write A 0x80003 7
    touch A 0x80000..0x90000   swapin A 0x80000..0x90000
    repeat 3 { with write toy.tree { toy.kick  yield } }
    notify A 0x80000..0x81000 { notify nonblock A 0x80000..0x82000 { } }
    toy.bind 0x10000..0x12000
    gpu0.get_pages  gpu0.read 0x10000  gpu0.write 0x10000 5
    unregister toy   register toy   sync done   exit A
    with big { add seq 1  load s seq  if s has 1 { store pte s } else { check s is 0  return } }
    smp_store_release pte 1  smp_wmb  store seq 1  smp_mb  load s seq  smp_rmb  smp_load_acquire s pte
    with read tree { }
    mark "fork: [0,8)"  fork A B  sleep 5  file_write shared { file_write { clear_refs A 4 } }
    madvise A 0x80000..0x81000 MADV_DONTNEED   mremap A 0x80000..0x81000 0xb0000..0xb1000 dontunmap
    mremap A 0x80000..0x81000 0x2000   mremap A 0x80000 0xc0000..0xc1000   truncate "a b" 100
}
irq eth0 times 2 { with slock { add seq 1  toy.kick } }
softirq net { with bh slock { if s is 0 { alloc 1 GFP_ATOMIC } } }
timer tick after 10 { with irqsave slock { yield } }
order { unmap@notifier.range_start < ioctl@toy.vm_lock < rest@user.done }
never { deadlock, stale }
assert { callbacks gpu0.start == 1   acquired mmu_notifier_invalidate_range_start >= 3
         allocations under "&obj->mm.lock" <= 1   edge "&obj->mm.lock" -> "fs_reclaim"
         no edge "a" -> "b"   reclaim_invalidations == 0  blocked_tasks == 0 }
"#;

/// The builtin words, one driver written in Rust, two finding codes.
pub(crate) fn vocabulary() -> Vocabulary {
    let mut known = Vocabulary::builtin_only();
    let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect();
    let operations = [
        ("get_pages", vec![]),
        ("read", vec![Parameter::ADDRESS]),
        ("write", vec![Parameter::ADDRESS, Parameter::VALUE]),
        ("submit", vec![Parameter { name: "count", kind: ParameterKind::Number, optional: false }]),
    ];
    let i915 = DriverWords {
        range: RangeRule::Optional,
        options: [
            ("batch".to_owned(), OptionKind::Number),
            ("flavour".to_owned(), OptionKind::Word(words(&["old", "new"]))),
            ("label".to_owned(), OptionKind::Text),
        ]
        .into(),
        mutants: words(&["some-name"]),
        operations: operations.into_iter().map(|(name, parameters)| (name.to_owned(), parameters)).collect(),
        locks: [("obj_lock".to_owned(), LockKind::Mutex)].into(),
        callbacks: words(&["start", "release"]),
    };
    known.drivers.insert("i915_userptr".to_owned(), i915);
    known.finding_codes = words(&["LD-CIRCULAR", "STALE"]);
    known.quirks = words(&["munmap-unpaired-end"]);
    known
}
