//! Tests of the VMA arithmetic: table cases, property tests against shadow models.

mod cases;
mod maps;
mod placement;
mod property;
mod test_utils;
