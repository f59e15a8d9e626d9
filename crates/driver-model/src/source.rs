//! Where the drivers that come with the tool are wrong on purpose: the lines of their own source.

use crate::drivers::builtin;

/// The files of each driver.
const SOURCES: &[(&str, &[&str])] = &[
    ("amdgpu_userptr", &[include_str!("drivers/amdgpu_userptr.rs")]),
    ("amdkfd_svm", &[include_str!("drivers/amdkfd_svm.rs")]),
    ("device_memory", &[include_str!("drivers/device_memory.rs")]),
    ("dmirror", &[include_str!("drivers/dmirror.rs")]),
    ("gntdev", &[include_str!("drivers/gntdev.rs")]),
    ("hfi1_cache", &[include_str!("drivers/hfi1_cache.rs")]),
    ("i915_userptr", &[include_str!("drivers/i915_userptr/corrected.rs")]),
    (
        "interval_mirror",
        &[include_str!("drivers/interval_mirror/mod.rs"), include_str!("drivers/interval_mirror/callback.rs")],
    ),
    ("iommu_sva", &[include_str!("drivers/iommu_sva.rs")]),
    ("kvm", &[include_str!("drivers/kvm.rs")]),
    ("mlx5_implicit_odp", &[include_str!("drivers/mlx5_implicit_odp.rs")]),
    ("mlx5_odp", &[include_str!("drivers/mlx5_odp.rs")]),
    ("nouveau_svm", &[include_str!("drivers/nouveau_svm.rs")]),
    ("sgx_encl", &[include_str!("drivers/sgx_encl.rs")]),
    ("vhost_vq", &[include_str!("drivers/vhost_vq.rs")]),
    ("xe_userptr", &[include_str!("drivers/xe_userptr.rs")]),
];

/// What a mutant of a driver of the tool does wrong, in a line.
#[must_use]
pub fn mutant_doc(driver: &str, mutant: &str) -> Option<&'static str> {
    let kind = builtin().into_iter().find(|kind| kind.name == driver)?;
    kind.mutants.iter().find(|info| info.name == mutant).map(|info| info.doc)
}

/// The lines of a driver of the tool that ask whether it is this mutant. None for a mutant that is a driver of its own.
#[must_use]
pub fn mutant_sites(driver: &str, mutant: &str) -> Vec<&'static str> {
    let variant = format!("Mutant::{}", camel_case(mutant));
    let names = |line: &&str| line.split(&variant).skip(1).any(|rest| !rest.starts_with(char::is_alphanumeric));
    let sources = SOURCES.iter().find(|(name, _)| *name == driver).map_or(&[][..], |(_, sources)| sources);
    // The table of names, which some drivers have by hand, is no place where something goes wrong.
    let asks = |line: &&str| !line.contains("=> Some(Mutant::");
    sources.iter().flat_map(|source| source.lines()).filter(names).filter(asks).map(str::trim).collect()
}

fn camel_case(kebab: &str) -> String {
    let word = |word: &str| word.split_at_checked(1).map_or_else(String::new, |(a, b)| a.to_uppercase() + b);
    kebab.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_lines_that_ask_for_it() {
        for kind in builtin() {
            // The driver of 2019 is one of its own.
            for mutant in kind.mutants.iter().filter(|m| m.name != "2019") {
                let sites = mutant_sites(kind.name, mutant.name);
                assert!((1..=8).contains(&sites.len()), "{} {}: {sites:?}", kind.name, mutant.name);
                assert_eq!(mutant_doc(kind.name, mutant.name), Some(mutant.doc));
            }
        }
        assert_eq!(mutant_sites("kvm", "no-such"), Vec::<&str>::new());
        assert_eq!(mutant_doc("kvm", "no-such"), None);
    }
}
