//! Reading logs.

use super::recorded;
use crate::strace::{Call, CloneFlags, Event, Fd, Marker, MremapFlags, Outcome, StraceLog, TextError};
use mm::vma::MapFlags;
use mm_types::{Errno, Prot, VirtAddr};

#[track_caller]
fn parsed(text: &str) -> StraceLog {
    StraceLog::parse(text).unwrap_or_else(|errors| panic!("{}", all(&errors)))
}

fn all(errors: &[TextError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The one call of a one-line log.
#[track_caller]
fn call(text: &str) -> (Call, Outcome) {
    let log = parsed(&format!("{text}\n"));
    assert_eq!(log.entries.len(), 1);
    match log.entries.into_iter().next().unwrap().event {
        Event::Call(call, outcome) => (call, outcome),
        other => panic!("no call: {other:?}"),
    }
}

#[track_caller]
fn check_counts(text: &str, expect: &[(&str, usize)]) {
    let log = parsed(text);
    let got: Vec<(&str, usize)> = log.counts().into_iter().collect();
    assert_eq!(got, expect);
}

/// Counted in the logs with `grep -c 'NAME('`; lines that resume a call are none of their own.
#[test]
fn every_line_of_the_recorded_logs_is_read() {
    check_counts(
        recorded!("cat_maps.strace"),
        &[
            ("+++ exited", 1),
            ("brk", 3),
            ("execve", 1),
            ("exit_group", 1),
            ("mmap", 27),
            ("mprotect", 4),
            ("munmap", 4),
        ],
    );
    check_counts(
        recorded!("git_log.strace"),
        &[
            ("+++ exited", 1),
            ("brk", 4),
            ("execve", 1),
            ("exit_group", 1),
            ("mmap", 58),
            ("mprotect", 6),
            ("munmap", 37),
        ],
    );
    check_counts(
        recorded!("cargo_version.strace"),
        &[
            ("+++ exited", 1),
            ("brk", 18),
            ("execve", 1),
            ("exit_group", 1),
            ("mmap", 35),
            ("mprotect", 10),
            ("munmap", 4),
        ],
    );
    check_counts(
        recorded!("python_json.strace"),
        &[
            ("+++ exited", 1),
            ("brk", 16),
            ("execve", 1),
            ("exit_group", 1),
            ("mmap", 69),
            ("mprotect", 8),
            ("mremap", 13),
            ("munmap", 35),
        ],
    );
    check_counts(
        recorded!("python_threads.strace"),
        &[
            ("+++ exited", 6),
            ("brk", 8),
            ("clone", 5),
            ("execve", 1),
            ("exit", 4),
            ("exit_group", 2),
            ("madvise", 61),
            ("mmap", 136),
            ("mprotect", 130),
            ("mremap", 1),
            ("munmap", 99),
            ("wait4", 1),
        ],
    );
    check_counts(
        recorded!("rustc_small.strace"),
        &[
            ("+++ exited", 20),
            ("brk", 33),
            ("clone", 17),
            ("execve", 15),
            ("exit", 12),
            ("exit_group", 4),
            ("madvise", 90),
            ("mmap", 274),
            ("mprotect", 399),
            ("munmap", 84),
            ("vfork", 2),
            ("wait4", 3),
        ],
    );
    check_counts(
        recorded!("sh_pipeline.strace"),
        &[
            ("+++ exited", 5),
            ("brk", 12),
            ("clone", 4),
            ("execve", 4),
            ("exit_group", 5),
            ("mmap", 92),
            ("mprotect", 16),
            ("munmap", 12),
            ("wait4", 6),
        ],
    );
}

#[test]
fn arguments_are_values() {
    let (mmap, outcome) =
        call("7 mmap(0x1000, 82048, PROT_READ|PROT_EXEC, MAP_PRIVATE|MAP_FIXED, 3</a, (b).so>, 0x2000) = 0x1000");
    assert_eq!(
        mmap,
        Call::Mmap {
            addr: VirtAddr(0x1000),
            len_bytes: 82048,
            prot: Prot::READ | Prot::EXEC,
            flags: MapFlags::PRIVATE | MapFlags::FIXED,
            fd: Fd { number: 3, path: Some("/a, (b).so".to_owned()) },
            offset_bytes: 0x2000,
        }
    );
    assert_eq!(outcome, Outcome::Value(0x1000));

    let (mmap, outcome) = call(
        "mmap(NULL, 4096, PROT_NONE, MAP_SHARED|MAP_ANONYMOUS|0x1000000, -1, 0) = -1 ENOMEM (Cannot allocate memory)",
    );
    assert!(matches!(
        mmap,
        Call::Mmap { addr: VirtAddr(0), prot, flags, fd: Fd { number: -1, path: None }, .. }
            if prot.is_empty() && flags.bits() == 0x1000021
    ));
    assert_eq!(outcome.errno(), Some(Errno::ENOMEM));

    let (mremap, _) = call("9  mremap(0x1000, 4096, 8192, MREMAP_MAYMOVE|MREMAP_FIXED, 0x5000) = 0x5000");
    assert_eq!(
        mremap,
        Call::Mremap {
            addr: VirtAddr(0x1000),
            old_len_bytes: 4096,
            new_len_bytes: 8192,
            flags: MremapFlags::MAYMOVE | MremapFlags::FIXED,
            new_addr: Some(VirtAddr(0x5000)),
        }
    );
    assert_eq!(call("brk(NULL) = 0x5000").0, Call::Brk { addr: VirtAddr(0) });
    assert_eq!(
        call(r#"execve("/bin/a b", ["a", "x)\", ("], 0x1 /* 3 vars */) = 0"#).0,
        Call::Execve { path: "/bin/a b".to_owned() }
    );
    assert_eq!(call("exit_group(0)    = ?"), (Call::ExitGroup { status: 0 }, Outcome::Unknown));
    assert_eq!(
        call("clone3({flags=CLONE_VM|CLONE_FS|CLONE_THREAD, tls=0x1} => {parent_tid=[5]}, 88) = 5").0,
        Call::Clone { flags: CloneFlags::VM | CloneFlags::THREAD }
    );
    assert_eq!(call("clone(child_stack=NULL, flags=SIGCHLD) = 5").0, Call::Clone { flags: CloneFlags::empty() });
    assert_eq!(call("fork() = 5"), (Call::Fork, Outcome::Value(5)));
    // Calls that map nothing are kept by name; errors that are not modelled too.
    let (wait, outcome) = call("wait4(-1, 0x7ffe, WNOHANG, NULL) = -1 ECHILD (No child processes)");
    assert_eq!((wait.name(), outcome), ("wait4", Outcome::Failed("ECHILD".to_owned())));
}

#[test]
fn forms_of_a_line() {
    let log = parsed(concat!(
        "[pid  12] 10:11:12.123456 munmap(0x5eed0000, 0) = -1 EINVAL (Invalid argument) <0.000012>\n",
        "strace: Process 13 attached\n",
        "[pid  12] --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---\n",
        "[pid  12] munmap(0x5eed1000, 0) = -1 EINVAL (Invalid argument)\n",
        "[pid  13] exit(0 <unfinished ...>\n",
        "[pid  13] +++ killed by SIGKILL +++\n",
        "[pid  12] +++ exited with 3 +++\n",
    ));
    assert_eq!(log.entries[0].marker(), Some(Marker::Start));
    assert_eq!(log.entries[1].event, Event::Signal("SIGCHLD".to_owned()));
    assert_eq!(log.entries[2].marker(), Some(Marker::End));
    assert_eq!((log.entries[3].began, log.entries[3].line), (5, 6));
    assert_eq!(log.entries[4].event, Event::Gone("killed by SIGKILL".to_owned()));
    assert_eq!(log.entries[5].event, Event::Exited(3));
    assert_eq!(log.between_markers(12).map(<[_]>::len), Some(1));
    assert_eq!(log.between_markers(13), None);
}

#[test]
fn a_call_in_two_lines_is_one_where_it_ended() {
    let log = parsed(concat!(
        "1 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3</x>, 0 <unfinished ...>\n",
        "2 vfork( <unfinished ...>\n",
        "3 munmap(0x1000, 4096) = 0\n",
        "1 <... mmap resumed>)             = 0x9000\n",
        "2 <... vfork resumed>)            = 3\n",
    ));
    let order: Vec<_> = log.entries.iter().map(|e| (e.pid, e.began, e.line, e.call().unwrap().name())).collect();
    assert_eq!(order, [(3, 3, 3, "munmap"), (1, 1, 4, "mmap"), (2, 2, 5, "vfork")]);
}

#[test]
fn a_thread_that_executes_goes_on_under_its_process() {
    let forms = [
        // The thread's line is broken by the change of its id.
        concat!(
            "7 execve(\"/bin/b\", [\"b\"], 0x1 /* 3 vars */ <pid changed to 5 ...>\n",
            "5 +++ superseded by execve in pid 7 +++\n",
            "5 <... execve resumed>) = 0\n",
        ),
        // It was broken before, and the process's first thread was in a call.
        concat!(
            "5 wait4(-1, <unfinished ...>\n",
            "7 execve(\"/bin/b\", [\"b\"], 0x1 /* 3 vars */ <unfinished ...>\n",
            "5 <... wait4 resumed> <unfinished ...>) = ?\n",
            "5 +++ superseded by execve in pid 7 +++\n",
            "5 <... execve resumed>) = 0\n",
        ),
    ];
    for form in forms {
        let log = parsed(form);
        let last = log.entries.last().expect("entries");
        let call = Call::Execve { path: "/bin/b".to_owned() };
        assert_eq!((last.pid, &last.event), (5, &Event::Call(call, Outcome::Value(0))), "{form}");
    }
}

#[test]
fn a_call_that_its_thread_did_not_outlive_is_told_without_arguments() {
    let log = parsed("1 mmap(NULL, 4096 <unfinished ...>) = ?\n1 +++ killed by SIGKILL +++\n");
    assert_eq!(log.entries[0].event, Event::Call(Call::Other { name: "mmap".to_owned() }, Outcome::Unknown));
}

#[test]
fn forms_of_arguments_that_newer_versions_print() {
    let path = |text: &str| match call(text).0 {
        Call::Mmap { fd, flags, .. } => (fd.path, flags),
        Call::Execve { path } => (Some(path), MapFlags::empty()),
        other => panic!("{other:?}"),
    };
    let deleted = path("mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3</tmp/a>(deleted), 0) = 0x9000");
    assert_eq!(deleted, (Some("/tmp/a".to_owned()), MapFlags::PRIVATE));
    let huge =
        path("mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|21<<MAP_HUGE_SHIFT, -1, 0) = 0x9000");
    assert!(huge.1.contains(MapFlags::HUGETLB), "{huge:?}");
    let at = path("execveat(3</bin/a>, \"\", [\"a\"], NULL, AT_EMPTY_PATH) = 0");
    assert_eq!(at.0, Some(String::new()));
}

/// Checks the errors of a log, each as `line:column message`.
#[track_caller]
fn check_errors(text: &str, expect: &[&str]) {
    let errors = StraceLog::parse(text).expect_err("the log is wrong");
    let got: Vec<String> = errors.iter().map(|e| format!("{}:{} {}", e.line, e.column, e.message)).collect();
    assert_eq!(got, expect);
}

#[test]
fn every_mistake_is_named_with_its_place() {
    check_errors("", &["1:1 the log is empty"]);
    check_errors(
        concat!(
            "1 mmap(NULL, 4096, PROT_REED, MAP_PRIVATE, 3</x>, 0) = 0x9000\n",
            "1 munmap(0x1000, 4096) = 0\n",
            "1 munmap(0x1000) = 0\n",
            "1 munmap(0x1000, 4o96) = 0\n",
            "1 munmap(0x1000, 4096 = 0\n",
            "1 munmap(0x1000, 4096) = zero\n",
            "1 munmap(0x1000, 4096, 1) = 0\n",
            "hello\n",
            "1 <... mmap resumed>) = 0\n",
            "2 brk(NULL <unfinished ...>\n",
        ),
        &[
            "1:20 unknown flag `PROT_REED`",
            "3:16 an argument is missing",
            "4:19 `o96` after a number",
            "5:26 the arguments do not end: expected `)`",
            "6:26 expected a number, found `zero`",
            "7:24 munmap has an argument too many: `1`",
            "8:1 expected a system call, found `hello`",
            "9:8 mmap is resumed, but was not unfinished",
            "10:1 brk of thread 2 is unfinished and never resumed",
        ],
    );
}

#[test]
fn a_truncated_last_line_is_named_and_not_believed() {
    check_errors(
        "1 munmap(0x1000, 4096) = 0\n1 munmap(0x2000, 40",
        &["2:20 the last line is truncated: `1 munmap(0x2000, 40`"],
    );
    // It may be cut even where it reads well.
    check_errors("1 brk(NULL) = 0x5561eac", &["1:24 the last line is truncated: `1 brk(NULL) = 0x5561eac`"]);
    assert_eq!(parsed("1 brk(NULL) = 0x5000\n1 +++ exited with 0 +++").entries.len(), 2);
    let whole = recorded!("git_log.strace");
    let cut = &whole[..whole.len() / 2];
    let errors = StraceLog::parse(cut).expect_err("half a log");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].line, cut.lines().count());
}

#[test]
fn no_text_makes_the_reader_panic() {
    let whole = recorded!("sh_pipeline.strace");
    for end in (0..whole.len()).step_by(97) {
        let _ = StraceLog::parse(&whole[..end]);
        let _ = StraceLog::parse(&whole[end..]);
    }
    let _ = StraceLog::parse("1 mmap(é, ü) = ö\n\u{0}\n= 0\n((((\n1 x)\n");
}
