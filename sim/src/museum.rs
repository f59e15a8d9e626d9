//! The exhibits that are shipped.

use harness::museum::{Exhibit, PREFIX};

macro_rules! exhibits {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each, by name.
        pub(crate) const EXHIBITS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../scenarios/museum/", $name, ".mms")))),*];
    };
}

exhibits![
    "amdgpu-gup-under-bo-reservation",
    "amdgpu-hmm-seq-reread",
    "amdgpu-lockdep-training-false-edge",
    "amdgpu-mn-lock-until-update-ends",
    "amdgpu-resv-iter-unlocked",
    "amdkfd-bo-resv-fence-deadlock",
    "amdkfd-insert-notifier-after-mm-gone",
    "amdkfd-migrate-recursive-lock",
    "amdkfd-mmput-in-notifier",
    "amdkfd-srcu-lockdep-cycle",
    "amdkfd-vram-bo-unref-race",
    "arm64-intermediate-tlb-late",
    "cow-break-either-way",
    "device-private-vma-is-anon-assumption",
    "exmap-notifier-left-registered",
    "gntdev-vma-split-munmap",
    "gpusvm-unbalanced-lock",
    "gup-fast-vs-fork-wp",
    "hfi1-multi-iovec-overrun",
    "hfi1-remove-under-spinlock",
    "hmm-struct-uaf-in-callback",
    "hugetlb-migrate-lock-order",
    "hugetlb-migrate-shared-pmd",
    "hugetlb-unshare-no-flush",
    "hugetlb-unshare-vs-gup-fast",
    "hugetlb-vs-core-ptl-mismatch",
    "i915-fault-under-struct-mutex",
    "i915-set-page-dirty-lock-recursion",
    "i915-userptr-struct-mutex-recursion",
    "i915-userptr-worker-inversion",
    "khugepaged-anon-vma-late",
    "khugepaged-file-collapse-no-notify",
    "ksm-vs-exit",
    "kvm-apic-page-invalidate-order",
    "kvm-arm64-resched-nonblock",
    "kvm-arm64-vncr-pfn-leak",
    "kvm-gpc-hva-retry-livelock",
    "kvm-skip-notifier-lock-unpaired",
    "kvm-tdp-invalid-roots",
    "kvm-tdp-iterator-skip",
    "migrate-vma-flush-outside-ptl",
    "mlx5-implicit-odp-double-destroy",
    "mlx5-implicit-odp-hang",
    "mlx5-odp-revoke-race",
    "mlx5-umem-mutex-alloc",
    "mmu-gather-dirty-vs-mkclean",
    "mn-change-pte-after-set",
    "mn-interval-remove-race",
    "mn-invalidate-page-after-ptl",
    "mn-invalidate-page-thp-one-page",
    "mn-itree-count-leak-on-list-failure",
    "mn-pagemap-scan-outside-lock",
    "mn-rcu-walk-cannot-sleep",
    "mn-register-vs-vma-lock-fault",
    "mn-release-called-twice",
    "mn-release-skips-freeing-order",
    "mn-softdirty-batched-flush-window",
    "mn-softdirty-no-notify",
    "mn-unpaired-end-after-eagain",
    "mprotect-vs-batched-reclaim",
    "mremap-flush-after-unlock",
    "mremap-vs-retract-pagetable",
    "mshv-notifier-left-registered",
    "msm-shrinker-ww-under-reclaim",
    "notify-young-wrong-address",
    "nouveau-hmm-mmap-sem-protocol",
    "nouveau-vma-intersection",
    "numa-cow-device-divergence",
    "oom-reaper-blocks-in-notifier",
    "pagemap-wp-hugetlb-self-deadlock",
    "rdma-odp-iova-user-va",
    "rdma-odp-nonblock-missed-unlock",
    "sgx-release-takes-mmap-lock",
    "smmu-inv-soft-lockup",
    "smmu-sva-mm-ref",
    "sva-kernel-pt-stale",
    "thp-mapcount-split-cow",
    "thp-zero-page-freed-before-flush",
    "vb2-gup-vs-mmap-lock",
    "vhost-metadata-notifier",
    "vmscan-free-before-tlb",
    "xe-hmm-deref-without-lock",
    "xe-userptr-folio-deadlock",
    "xe-userptr-pagetable-race",
    "xpmem-invalidate-in-end",
];

/// The text of a version, by the name that replay lines give it; `None` if the name is not of that form.
///
/// # Errors
/// One line: there is no such exhibit.
pub(crate) fn scenario(name: &str) -> Option<Result<String, String>> {
    let exhibit = name.strip_prefix(PREFIX)?;
    let (exhibit, fixed) = exhibit.strip_suffix("/fixed").map_or((exhibit, false), |exhibit| (exhibit, true));
    let text = |(_, text): &(&str, &str)| if fixed { Exhibit::fixed_text(text) } else { (*text).to_owned() };
    let found = EXHIBITS.iter().find(|(name, _)| *name == exhibit).map(text);
    Some(found.ok_or_else(|| unknown(exhibit)))
}

/// What to say about a name that no exhibit has.
pub(crate) fn unknown(name: &str) -> String {
    let words: Vec<&str> = name.split('-').collect();
    let alike = |other: &&str| words.iter().filter(|word| other.split('-').any(|w| w == **word)).count();
    let nearest = EXHIBITS.iter().map(|(name, _)| *name).max_by_key(alike).filter(|name| alike(name) > 0);
    let hint =
        nearest.map_or_else(|| "`shootdown museum` shows all".to_owned(), |name| format!("did you mean `{name}`?"));
    format!("there is no exhibit `{name}`: {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_by_its_name() {
        let text = |name: &str| scenario(name).map(|found| found.is_ok());
        assert_eq!(text("museum:sgx-release-takes-mmap-lock"), Some(true));
        assert_eq!(text("museum:sgx-release-takes-mmap-lock/fixed"), Some(true));
        assert_eq!(text("museum:no-such"), Some(false));
        assert_eq!(text("sgx.mms"), None);
        assert!(unknown("sgx-release").contains("did you mean `sgx-release-takes-mmap-lock`?"));
        assert!(unknown("qqq").contains("shows all"));
    }
}
