//! The one piece of ambient state: which kernel this OS thread is inside of.

use crate::Kernel;
use std::cell::Cell;
use std::ptr;

thread_local! {
    static CURRENT: Cell<*const Kernel> = const { Cell::new(ptr::null()) };
}

/// Runs `f` with `kernel` as this thread's current one; restores the previous one afterwards, also on unwind.
pub(crate) fn enter<R>(kernel: &Kernel, f: impl FnOnce() -> R) -> R {
    struct Restore(*const Kernel);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.with(|c| c.set(self.0));
        }
    }
    let _restore = Restore(CURRENT.with(|c| c.replace(kernel)));
    f()
}

/// The kernel this thread is inside of, if any.
#[inline]
pub fn with_current<R>(f: impl FnOnce(Option<&Kernel>) -> R) -> R {
    let kernel = CURRENT.with(Cell::get);
    #[expect(unsafe_code, reason = "a lock's `lock(&self)` has no other way to its kernel")]
    // SAFETY: the pointer is null or was set by `enter`, whose `&Kernel` argument outlives the call during which the
    // pointer is set; coroutines of that kernel run inside that call and never on another thread. `f` gets a shared
    // reference that cannot outlive this call.
    let kernel = unsafe { kernel.as_ref() };
    f(kernel)
}

/// Runs `f` with the current kernel.
///
/// # Panics
/// When this thread is inside of no kernel: the caller needs one by contract.
#[inline]
#[track_caller]
pub fn current<R>(f: impl FnOnce(&Kernel) -> R) -> R {
    with_current(|k| match k {
        Some(k) => f(k),
        None => panic!("not inside a simulated kernel: call this from a task or from Kernel::enter"),
    })
}
