//! A simulated Linux memory manager

pub mod vma;
