//! Each oracle in both directions: a sequence that breaks the rule, and its corrected twin.

mod arbitrary;
mod coh;
mod ctx;
mod ord;
mod prog;
mod pud;
mod seq;
mod stale;
mod whole;
