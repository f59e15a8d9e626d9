//! A device and its drivers: correct ones and mutants
