//! The memory manager as a whole: against recordings, by scripted cases, and by random programs.

mod accounting;
mod common;
mod compaction;
mod contents;
mod dax;
mod exclusive;
mod files;
mod flat;
mod fork;
mod huge;
mod lru;
mod marks;
mod migration;
mod numa;
mod oom;
mod ops;
mod recorded;
mod recorded_migration;
mod recorded_moves;
mod sharing;
mod shrinkers;
mod tlb;
