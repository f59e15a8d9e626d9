//! A device and its drivers: correct ones, and the ones that are wrong on purpose.
//!
//! A [`Device`] has a page table of its own, behind one accessor that tells what changes, and accesses memory through it.
//! A [`Driver`] keeps it honest: it subscribes to an address space, publishes translations, takes them away when told.
//! Drivers call the memory manager through its device facade only; a notifier callback is handed no way back into it.
//!
//! | driver | subscriber | what |
//! |---|---|---|
//! | `i915_userptr` | interval; as `2019` list | user memory pinned until told |
//! | `interval_mirror` | interval | the scheme of the documentation |
//! | `amdgpu_userptr` | interval | commands with fences, which the callback waits for |
//! | `amdkfd_svm` | interval | the callback evicts, a worker restores |
//! | `dmirror` | interval, the whole address space | the kernel's HMM test driver |
//! | `gntdev` | interval, one a map | grants of pinned pages |
//! | `hfi1_cache` | list | a cache of pinned buffers |
//! | `iommu_sva` | list, secondary TLB only | walks the process's page table |
//! | `kvm` | list | counts open brackets |
//! | `mlx5_implicit_odp` | interval, one a block | the same for a whole address space |
//! | `mlx5_odp` | interval | pages faulted in by a device |
//! | `nouveau_svm` | list, and an interval one for each fault | shared virtual memory |
//! | `sgx_encl` | list, release only | an enclave |
//! | `vhost_vq` | list | a kernel mapping under a spinlock |
//! | `xe_userptr` | interval | bindings, rebound by the next command |
//!
//! Each has a page in `docs/drivers/`, with its mutants and the historical bugs they stand for. What they are made of besides:
//! [`Fence`] and [`Timeline`], [`Resv`], the command queue [`Ring`], [`WorkQueue`], the [`FaultBuffer`], [`RuntimePm`]; waits for these are in the
//! validator's graph as waits for somebody. A ring tells of its commands, and a fault buffer of faults, by an interrupt. [`Kref`] is an object that is freed with its last reference.
//!
//! A driver of one's own is best written against [`interval`] or [`list`], where what must not be forgotten does not compile.
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
mod faults;
mod fence;
pub mod interval;
mod kind;
mod kref;
pub mod list;
mod pm;
mod resv;
mod ring;
mod source;
pub mod typed;
mod via;
mod work;

pub use device::{BLOCK_PAGES, Device, DeviceFault, Fault, Features, Spte, block_base, block_of, has_block, spte_obj};
pub use driver::{Args, Driver, DriverLock, OpInfo};
pub use drivers::builtin;
pub use drivers::i915_userptr::I915Userptr;
pub use drivers::interval_mirror::IntervalMirror;
pub use faults::{FaultBuffer, FaultHandler};
pub use fence::{Fence, FenceCallback, Signalling, Timeline, begin_signalling, might_wait};
pub use kind::{Config, ConfigError, DriverKind, HasKind, MutantInfo, OptionInfo, Roles};
pub use kref::{Kref, Misuse, Objects};
pub use pm::{ResumeHook, RuntimePm};
pub use resv::{Resv, ResvGuard};
pub use ring::{Completion, JobHook, Ring, Touch};
pub use source::{mutant_doc, mutant_sites};
pub use via::Via;
pub use work::{Work, WorkQueue};
