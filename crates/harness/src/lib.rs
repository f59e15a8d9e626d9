//! Builds a world from a scenario, runs or explores it, judges it, reports

pub mod strace;
