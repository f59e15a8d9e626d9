//! Cross-crate tests: recorded ground truth, determinism, floors, properties
