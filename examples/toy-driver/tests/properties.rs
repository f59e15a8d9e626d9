//! Random programs against `toy`: memory calls, device operations and their schedule, shrunk together.

use harness::drivers::HasKind;
use harness::strategies::{Subject, holds, program};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_found_in_any_program(program in program()) {
        holds(&program, &Subject::of(toy_driver::Toy::KIND))?;
    }
}
