//! The drivers that come with the tool.

pub(crate) mod amdgpu_userptr;
pub(crate) mod amdkfd_svm;
pub(crate) mod device_memory;
pub(crate) mod dmirror;
pub(crate) mod gntdev;
pub(crate) mod hfi1_cache;
pub(crate) mod i915_userptr;
pub(crate) mod interval_mirror;
pub(crate) mod iommu_sva;
pub(crate) mod kvm;
pub(crate) mod mlx5_implicit_odp;
pub(crate) mod mlx5_odp;
pub(crate) mod nouveau_svm;
mod parts;
pub(crate) mod recorder;
pub(crate) mod sgx_encl;
pub(crate) mod vhost_vq;
pub(crate) mod xe_userptr;

use crate::device::Device;
use crate::driver::Args;
use crate::kind::{DriverKind, OptionInfo};
use mm::{Machine, Mm};
use mm_types::{Errno, MmId, PageRange, Pfn};

/// The drivers that come with the tool, by name.
#[must_use]
pub fn builtin() -> Vec<DriverKind> {
    vec![
        i915_userptr::KIND,
        interval_mirror::KIND,
        amdgpu_userptr::KIND,
        amdkfd_svm::KIND,
        device_memory::KIND,
        dmirror::KIND,
        gntdev::KIND,
        hfi1_cache::KIND,
        iommu_sva::KIND,
        kvm::KIND,
        mlx5_implicit_odp::KIND,
        mlx5_odp::KIND,
        nouveau_svm::KIND,
        recorder::LIST,
        recorder::INTERVAL,
        sgx_encl::KIND,
        vhost_vq::KIND,
        xe_userptr::KIND,
    ]
}

/// How often a reader that collides starts over, when not told. The kernel's drivers use a time limit.
const RETRIES: u64 = 64;

const RETRIES_OPTION: OptionInfo = OptionInfo {
    name: "retries",
    doc: "how often a look-up that collides with invalidations starts over before it gives up with EBUSY",
    default: "64",
    words: &[],
};

const SHRINKER_OPTION: OptionInfo = OptionInfo {
    name: "shrinker",
    doc: "whether reclaim can ask the driver for what it keeps",
    default: "off",
    words: &["off", "on"],
};

/// The device reads or writes each page in turn, without a fault handler.
fn access(device: &Device, mm: MmId, args: &Args, write: bool) -> Result<(), Errno> {
    for vpn in args.need_pages()?.iter() {
        let done = if write { device.write(mm, vpn, args.value) } else { device.read(mm, vpn).map(|_| ()) };
        done.map_err(|_fault| Errno::EFAULT)?;
    }
    Ok(())
}

/// `get` for every page of `pages`, or none: what a partial success gave is given back by `put`.
fn whole(
    mm: &Mm,
    pages: PageRange,
    get: fn(&Mm, PageRange, bool) -> Result<Vec<Pfn>, Errno>,
    put: fn(&Machine, Pfn),
) -> Result<Vec<Pfn>, Errno> {
    let got = get(mm, pages, true)?;
    if got.len() as u64 == pages.nr_pages() {
        return Ok(got);
    }
    put_all(mm, &got, put);
    Err(Errno::EFAULT)
}

/// Gives every page back.
fn put_all(mm: &Mm, pvec: &[Pfn], put: fn(&Machine, Pfn)) {
    pvec.iter().for_each(|pfn| put(mm.machine(), *pfn));
}

/// The part of an invalidated range that a subscription is about.
fn clamp(range: PageRange, own: PageRange) -> PageRange {
    // They overlap, or the callback would not have come; a callback that comes all the same is judged, not trusted.
    range.intersect(own).unwrap_or(own)
}
