//! A lock-dependency validator after the kernel's: classes, maps, chains, reports as values
