//! What surrounds the results: signals, pipes that close, full disks, colour.
#![cfg(unix)]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

const USERPTR: &str = "sim/scenarios/userptr-reclaim.mms";

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shootdown(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.args(args).current_dir(project());
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env_remove("CLICOLOR");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[track_caller]
fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

/// Explores without an end, and is interrupted `times` times.
fn interrupted(times: u32) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    // The scenario comes through a pipe: when it is taken, the tool is up and listens to Ctrl-C.
    let pipe = folder.path().join("scenario.mms");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let scenario = fs::read(project().join("sim/scenarios/userptr-corrected.mms")).expect("the scenario");
    let path = pipe.to_str().expect("UTF-8");
    let child = shootdown(&["explore", path, "--executions", "1000000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    fs::write(&pipe, scenario).expect("taken");
    sleep(Duration::from_millis(200));
    (0..times).for_each(|_| interrupt(&child));
    child.wait_with_output().expect("it ends")
}

#[test]
fn an_interrupted_exploration_prints_its_results() {
    for times in [1, 2] {
        let Output { status, stdout, stderr } = interrupted(times);
        assert_eq!(status.code(), Some(130), "{}{}", text(&stdout), text(&stderr));
        assert!(text(&stdout).contains("sampled (random"), "{}", text(&stdout));
        assert!(text(&stdout).contains("as expected: "), "{}", text(&stdout));
        assert!(text(&stderr).contains("an interrupt cut the exploration after "), "{}", text(&stderr));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for args in [&["run", USERPTR, "--events"][..], &["list"], &["--help"], &["run", USERPTR, "--format", "json"]] {
        let mut child = shootdown(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut err).expect("UTF-8");
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{args:?}: {err}");
        assert_eq!(err, "", "{args:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn results_that_cannot_be_written_are_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = shootdown(&["run", USERPTR]).stdout(full).output().expect("it starts");
    assert_eq!(output.status.code(), Some(70));
    let err = text(&output.stderr);
    assert!(err.starts_with("error: the results cannot be written: ") && err.lines().count() == 1, "{err}");
}

#[test]
fn colour_is_for_terminals_and_for_those_who_force_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let bad = dir.path().join("bad.mms");
    fs::write(&bad, "scenario \"bad\"\nexpect { LD-CIRCULER }\n").expect("written");
    let bad = bad.to_str().expect("UTF-8");
    let coloured = |args: &[&str], variables: &[(&str, &str)]| {
        let output = shootdown(args).envs(variables.iter().copied()).output().expect("it starts");
        (text(&output.stdout).contains('\x1b'), text(&output.stderr).contains('\x1b'))
    };
    assert_eq!(coloured(&["run", USERPTR], &[]), (false, false));
    assert_eq!(coloured(&["run", bad], &[]), (false, false));
    assert_eq!(coloured(&["run", USERPTR], &[("CLICOLOR_FORCE", "1")]), (true, false));
    assert_eq!(coloured(&["run", bad], &[("CLICOLOR_FORCE", "1")]), (false, true));
    assert_eq!(coloured(&["run", USERPTR], &[("NO_COLOR", "1")]), (false, false));
    // JSON is never coloured: programs read it.
    assert_eq!(coloured(&["run", USERPTR, "--format", "json"], &[("CLICOLOR_FORCE", "1")]), (false, false));
}

#[test]
fn colour_adds_nothing_but_colour() {
    let plain = shootdown(&["run", USERPTR]).output().expect("it starts");
    let painted = shootdown(&["run", USERPTR]).env("CLICOLOR_FORCE", "1").output().expect("it starts");
    let mut stripped = String::new();
    let mut rest = text(&painted.stdout);
    while let Some((before, after)) = rest.split_once('\x1b') {
        stripped.push_str(before);
        rest = after.split_once('m').expect("a colour sequence").1.to_owned();
    }
    stripped.push_str(&rest);
    assert_eq!(stripped, text(&plain.stdout));
}
