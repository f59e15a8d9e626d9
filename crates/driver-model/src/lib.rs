//! A device and its drivers: correct ones, and the ones that are wrong on purpose.
//!
//! A [`Device`] has a page table of its own, behind one accessor that tells what changes, and accesses memory through it.
//! A [`Driver`] keeps it honest: it subscribes to an address space, publishes translations, takes them away when told.
//! Drivers call the memory manager through its device facade only; a notifier callback is handed no way back into it.
//!
//! | driver | family | wrong on purpose |
//! |---|---|---|
//! | `i915_userptr` | interval subscriber; as `2019` a list subscriber | `2019` |
//! | `interval_mirror` | interval subscriber | `skip-retry`, `ignore-one-invalidation`, `late-zap`, `sleep-in-nonblock`, `no-set-seq` |
//!
//! A driver of one's own is best written against [`interval`], where what must not be forgotten does not compile.
//!
//! [`builtin`] lists them with what each can be told ([`DriverKind`]); a user's driver is one more entry of that kind.
//!
//! # Who owns whom
//!
//! The mm owns its subscribers. So what a driver subscribes (the part with the callbacks) owns the device and its locks, and
//! neither the mm nor its own subscription; the driver around it owns all three.

mod device;
mod driver;
mod drivers;
pub mod interval;
mod kind;
mod via;

pub use device::{Device, DeviceFault, Fault, Spte, spte_obj};
pub use driver::{Args, Driver, DriverLock, OpInfo};
pub use drivers::builtin;
pub use drivers::i915_userptr::I915Userptr;
pub use drivers::interval_mirror::IntervalMirror;
pub use kind::{Config, ConfigError, DriverKind, HasKind, MutantInfo, OptionInfo};
pub use via::Via;
