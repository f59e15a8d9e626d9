//! The closed event vocabulary, observers, a stable text form and the run hash
