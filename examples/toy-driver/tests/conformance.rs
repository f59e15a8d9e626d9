//! What every driver must hold, against `toy`: one line each, and a replay command for what fails.

#[test]
fn the_driver_conforms() {
    shootdown::conformance::<toy_driver::Toy>(env!("CARGO_BIN_EXE_toy-driver"));
}
