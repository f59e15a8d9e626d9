//! Strategies that drive many runs and merge what they find
