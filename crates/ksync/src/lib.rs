//! What kernel code blocks on, under the validator and the scheduler
