//! Tests of the VMA arithmetic: table cases, property tests against shadow models, recordings of Linux.

mod cases;
mod maps;
mod placement;
mod property;
mod recorded;
mod test_utils;
