//! `execve` as far as memory goes: another address space for the process. Linux: `exec_mmap()`, fs/exec.c, 6.12.

use crate::mm::Mm;
use crate::names::NAMES;
use crate::vma::{LoadError, MapsLine};
use ksync::Kernel;
use mm_types::{Errno, Name};
use std::sync::Arc;
use trace::EventKind;

impl Mm {
    /// The process of this address space executes a program: gives the new address space, with the mappings `lines` and
    /// one user, and gives up the process's hold on the old one ([`Mm::exit`]). The new one is there before the old one
    /// goes; what goes with the last hold is as at exit: subscribers are released, then everything is unmapped.
    ///
    /// A child of `vfork` that executes has a hold of its own ([`Mm::mmget`]) to drop instead: it makes its address space
    /// with [`Machine::new_mm`](crate::Machine::new_mm) and [`Mm::load_maps`].
    ///
    /// The locks that exec holds around this in the kernel (`cred_guard_mutex`, `exec_update_lock`) are not modelled.
    ///
    /// # Errors
    /// [`LoadError`]; the old address space goes on.
    pub fn exec(&self, k: &Kernel, name: Name, lines: &[MapsLine]) -> Result<Arc<Mm>, LoadError> {
        k.emit(EventKind::CallEnter { mm: self.id, call: NAMES.execve, pages: None });
        let new = self.machine.new_mm(k, name);
        let loaded = new.load_maps(lines);
        match loaded {
            Ok(()) => self.mmput(),
            Err(_) => new.mmput(),
        }
        k.emit(EventKind::CallExit { error: loaded.as_ref().err().map(|_| Errno::ENOMEM) });
        loaded.map(|()| new)
    }
}
