//! A simulated Linux memory manager
