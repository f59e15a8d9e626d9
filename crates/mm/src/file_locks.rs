//! Locks that a system call on a file holds around what it does to memory.
//!
//! Names of classes are those of the recorded kernel, numbers included, which it gave in the order of boot: `sb_writers#3`
//! is that of proc, `#5` that of the disk's file system, `#6` that of tmpfs.

use crate::machine::Machine;
use crate::obj::{MachineObj, machine_obj};
use ksync::{Kernel, LockClass, Mutex, RawMutex, RawRwSem, RwSem};
use mm_types::ObjId;
use trace::LockKind;

/// File systems, as far as their locks differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fs {
    /// proc: controls of the kernel.
    Proc,
    /// sysfs: controls as well, through kernfs.
    Sysfs,
    /// tracefs.
    Tracefs,
    /// debugfs.
    Debugfs,
    /// On a disk (ext2).
    Disk,
    /// In memory.
    Tmpfs,
    /// In huge pages.
    Hugetlbfs,
}

const ALL: [(Fs, &str); 7] = [
    (Fs::Proc, "sb_writers#3"),
    (Fs::Sysfs, "sb_writers#4"),
    (Fs::Disk, "sb_writers#5"),
    (Fs::Tmpfs, "sb_writers#6"),
    (Fs::Debugfs, "sb_writers#8"),
    (Fs::Hugetlbfs, "sb_writers#9"),
    (Fs::Tracefs, "sb_writers#10"),
];

/// The locks of files that no inode has of its own.
pub(crate) struct FileLocks {
    sb_writers: Vec<(Fs, RwSem<()>)>,
    f_pos: Mutex<()>,
    /// One memory failure at a time.
    pub(crate) mf: Mutex<()>,
    /// Of trace events.
    pub(crate) event: Mutex<()>,
    /// Of uprobes: one is registered at a time here.
    pub(crate) register: RwSem<()>,
    /// One writer of `split_huge_pages` at a time.
    pub(crate) split_debug: Mutex<()>,
    /// Of KSM.
    pub(crate) ksm: Mutex<()>,
    of: Mutex<()>,
    kernfs: RwSem<()>,
}

impl FileLocks {
    pub(crate) fn new(k: &Kernel) -> FileLocks {
        let rwsem = |name: &str, obj: ObjId| {
            RwSem::from_raw(RawRwSem::new(k.class(LockClass::new(name, LockKind::RwSem)), obj), ())
        };
        let mutex = |name: &str, what: MachineObj| {
            Mutex::from_raw(RawMutex::new(k.class(LockClass::new(name, LockKind::Mutex)), machine_obj(what)), ())
        };
        let writers = |at: u64| ObjId(machine_obj(MachineObj::SbWriters).0 | (at + 1) << 16);
        FileLocks {
            sb_writers: ALL.iter().zip(0..).map(|((fs, name), at)| (*fs, rwsem(name, writers(at)))).collect(),
            f_pos: mutex("&f->f_pos_lock", MachineObj::FPosLock),
            mf: mutex("mf_mutex", MachineObj::MfMutex),
            event: mutex("event_mutex", MachineObj::EventMutex),
            register: rwsem("&uprobe->register_rwsem", machine_obj(MachineObj::RegisterRwsem)),
            split_debug: mutex("split_debug_mutex", MachineObj::SplitDebugMutex),
            ksm: mutex("ksm_thread_mutex", MachineObj::KsmThreadMutex),
            of: mutex("&of->mutex", MachineObj::OfMutex),
            kernfs: rwsem("kn->active#12", machine_obj(MachineObj::KernfsActive)),
        }
    }
}

impl Machine {
    /// Runs `f` as what a `write()` to a control file in proc does: `sb_writers` held for reading, and the lock of the
    /// file's position if several tasks `share` the open file.
    pub fn file_write(&self, share: bool, f: impl FnOnce()) {
        let locks = self.locks();
        let _pos = share.then(|| locks.files.f_pos.lock());
        self.with_writers(Fs::Proc, f);
    }

    /// Runs `f` inside a write to a file system.
    pub(crate) fn with_writers<R>(&self, fs: Fs, f: impl FnOnce() -> R) -> R {
        let locks = self.locks();
        let writers = locks.files.sb_writers.iter().find(|(of, _)| *of == fs);
        let _writers = writers.map(|(_, lock)| lock.read());
        f()
    }

    /// Runs `f` as what a write to a file in sysfs does: with the open file's mutex and a hold on the kernfs node, besides.
    pub(crate) fn sysfs_write<R>(&self, f: impl FnOnce() -> R) -> R {
        let locks = self.locks();
        self.with_writers(Fs::Sysfs, || {
            let _of = locks.files.of.lock();
            let _active = locks.files.kernfs.try_read();
            f()
        })
    }
}
