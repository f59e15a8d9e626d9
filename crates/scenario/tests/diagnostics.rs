//! What is said about wrong scenarios: input on the left, mistakes on the right.

mod common;

use common::{SKETCH, vocabulary};
use scenario::{Diagnostic, parse, parse_with};

/// `line:column text-under-the-caret: message [help]` of each mistake.
fn mistakes(text: &str) -> Vec<String> {
    let Err(diagnostics) = parse_with(&vocabulary(), "t.mms", text) else {
        return Vec::new();
    };
    diagnostics.iter().map(|d| line(d, text)).collect()
}

fn line(d: &Diagnostic, text: &str) -> String {
    let before = &text[..d.span.start];
    let row = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
    let help = d.help.as_ref().map_or(String::new(), |h| format!(" [{h}]"));
    let here = &text[d.span.start..d.span.end];
    format!("{row}:{column} {here}: {}{help}", d.message)
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = mistakes(text);
    assert_eq!(found, expected, "{text}\nfound:\n{}", found.join("\n"));
}

/// The mistakes of `body` as a task of a scenario that is right otherwise; lines count from `body`.
#[track_caller]
fn check_task(body: &str, expected: &[&str]) {
    let text = format!(
        "scenario \"t\" mm A {{ vma 0x10000..0x50000 rw anon }} \
         device toy : interval(A, 0x10000..0x50000) {{ mutex l  rwsem r  op bind(range) {{ map range }} op kick {{ flush }} }} \
         device gpu0 : i915_userptr(A) task t {{\n{body}\n}}"
    );
    let found: Vec<String> = mistakes(&text)
        .iter()
        .map(|m| match m.split_once(':') {
            Some((row, rest)) => format!("{}:{rest}", row.parse::<usize>().unwrap_or(0) - 1),
            None => m.clone(),
        })
        .collect();
    assert_eq!(found, expected, "{body}\nfound:\n{}", found.join("\n"));
}

/// The mistakes of `body` as an inline driver of `header`.
#[track_caller]
fn check_driver(header: &str, body: &str, expected: &[&str]) {
    let text = format!("scenario \"t\" mm A {{}} device d : {header} {{\n{body}\n}}");
    let found: Vec<String> = mistakes(&text).iter().map(|m| m.strip_prefix("2:").unwrap_or(m).to_owned()).collect();
    assert_eq!(found, expected, "{body}\nfound:\n{}", found.join("\n"));
}

#[test]
fn the_reference_scenario_has_no_mistake() {
    check(SKETCH, &[]);
}

#[test]
fn print_all() {
    for d in parse_with(&vocabulary(), "t.mms", include_str!("five.mms")).unwrap_err() {
        eprintln!("{}\n", d.render("t.mms", include_str!("five.mms"), false));
    }
    assert!(parse("t.mms", SKETCH).is_ok());
}
