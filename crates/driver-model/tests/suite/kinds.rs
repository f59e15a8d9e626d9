//! What a configuration may say.

use driver_model::{Config, ConfigError, builtin};
use mm_types::Name;
use std::fs;
use std::path::Path;
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

/// `docs/drivers/NAME.md` of every driver names its mutants and no others.
#[test]
fn every_driver_has_a_page_that_names_its_mutants() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/drivers");
    for kind in builtin() {
        let page = docs.join(format!("{}.md", kind.name));
        let text = fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        let named: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
        let sorted = |mut names: Vec<_>| {
            names.sort_unstable();
            names
        };
        let mutants = kind.mutants.iter().map(|m| m.name).collect();
        assert_eq!(sorted(named), sorted(mutants), "{}", page.display());
        for part in ["## What the real one does", "## Left out"] {
            assert!(text.contains(part), "{}: {part}", page.display());
        }
    }
}
