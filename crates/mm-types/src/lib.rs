//! Values with units, shared by every crate: addresses and page numbers, half-open page ranges, flags, ids, errno.
//!
//! Nothing here has behaviour beyond arithmetic and text. Each number with a unit is a type of its own, so that an
//! address cannot be passed where a page number is meant. Sizes: a page is 4 KiB ([`PAGE_SIZE`]); user addresses are
//! x86-64 with 4-level page tables ([`TASK_SIZE`]).

mod addr;
mod errno;
mod flags;
mod id;
mod name;
mod pte;
mod range;

pub use addr::{PAGE_SHIFT, PAGE_SIZE, Pfn, Pgoff, TASK_SIZE, VirtAddr, Vpn};
pub use errno::Errno;
pub use flags::{Gfp, Prot, VmFlags};
pub use id::{MmId, ObjId, TaskId};
pub use name::Name;
pub use pte::{Pte, PteKind};
pub use range::{EmptyRange, PageRange, RangeParseError};
