//! What a configuration may say.

use driver_model::{Config, ConfigError, builtin};
use mm_types::Name;
use trace::DevId;

fn config() -> Config {
    Config::new(DevId(0), Name::new("gpu0"))
}

#[test]
fn every_mistake_of_a_configuration_is_told() {
    let kind = builtin().into_iter().find(|k| k.name == "interval_mirror").unwrap();
    let bad = config().mutant("skip-rerty").option("nth", "0").option("speed", "9");
    let expect = [
        ConfigError::UnknownMutant("skip-rerty".into()),
        ConfigError::BadValue("nth".into(), "0".into()),
        ConfigError::UnknownOption("speed".into()),
    ];
    assert_eq!(kind.check(&bad), expect);
}

#[test]
fn what_a_kind_lists_is_accepted() {
    for kind in builtin() {
        for mutant in kind.mutants {
            assert!(
                kind.check(&config().mutant(mutant.name)).is_empty(),
                "{:?}",
                kind.check(&config().mutant(mutant.name))
            );
        }
        for option in kind.options {
            assert_eq!(kind.check(&config().option(option.name, option.default)), [], "{}", option.name);
            for word in option.words {
                assert!(
                    kind.check(&config().option(option.name, word)).is_empty(),
                    "{:?}",
                    kind.check(&config().option(option.name, word))
                );
            }
        }
    }
}
