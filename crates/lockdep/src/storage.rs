//! Where the graph of a run lives: with its only user, or shared by several threads.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::core::Core;

/// Where a [`Run`](crate::Run) keeps its graph: [`Own`] or [`Attached`].
pub trait Storage: Sealed {}

impl<S: Sealed> Storage for S {}

/// The two forms, closed.
pub trait Sealed {
    /// Changes when what was met before no longer counts.
    #[doc(hidden)]
    fn epoch(&self) -> u32;
    #[doc(hidden)]
    fn with<R>(&mut self, f: impl FnOnce(&mut Core) -> R) -> R;
    #[doc(hidden)]
    fn view<R>(&self, f: impl FnOnce(&Core) -> R) -> R;
}

/// The graph of a run that is not shared.
#[derive(Debug)]
pub struct Own(pub(crate) Core);

impl Sealed for Own {
    #[inline]
    fn epoch(&self) -> u32 {
        self.0.epoch
    }

    #[inline]
    fn with<R>(&mut self, f: impl FnOnce(&mut Core) -> R) -> R {
        f(&mut self.0)
    }

    fn view<R>(&self, f: impl FnOnce(&Core) -> R) -> R {
        f(&self.0)
    }
}

#[derive(Debug)]
pub(crate) struct Common {
    /// invariant: `core.epoch`. Read at every acquisition, written when a class goes: so not in the lock's cache line.
    epoch: crossing::Padded<AtomicU32>,
    core: Mutex<Core>,
}

mod crossing {
    /// A value alone on its cache lines.
    #[derive(Debug)]
    #[repr(align(128))]
    pub(super) struct Padded<T>(pub(super) T);
}

/// One thread's hold on a graph that several threads teach: see [`SharedRun`](crate::SharedRun).
#[derive(Debug, Clone)]
pub struct Attached(Arc<Common>);

impl Attached {
    pub(crate) fn new(core: Core) -> Self {
        let epoch = crossing::Padded(AtomicU32::new(core.epoch));
        Self(Arc::new(Common { epoch, core: Mutex::new(core) }))
    }
}

impl Sealed for Attached {
    #[inline]
    fn epoch(&self) -> u32 {
        self.0.epoch.0.load(Ordering::Acquire)
    }

    fn with<R>(&mut self, f: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.0.core.lock();
        let result = f(&mut core);
        self.0.epoch.0.store(core.epoch, Ordering::Release);
        result
    }

    fn view<R>(&self, f: impl FnOnce(&Core) -> R) -> R {
        f(&self.0.core.lock())
    }
}
