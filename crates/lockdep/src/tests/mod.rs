//! Tests that need the inside: deliberate errors, and the order and the masks against plain searches.

mod graph;
mod mutants;
