//! Scenario text to syntax tree and back, with diagnostics; executes nothing
