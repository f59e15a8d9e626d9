//! The oracles: rules over events and snapshots, findings as values
