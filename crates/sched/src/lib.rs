//! Tasks as stackful coroutines, choices, schedules, run outcomes
