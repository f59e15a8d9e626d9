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
fn a_file_with_five_different_mistakes_reports_all_five() {
    let text = r#"scenario "five"
machine { cpus 2  memory 64MB }
mm A { vma 0x10001..0x50000 rw anon }
device toy : interval(A, 0x10000..0x50000) {
    mutex vm_lock
    on invalidate(range) { with vm_lok { zap range } }
}
task unmap {
    mumap A 0x10000..0x12000
}
order { unmap@notifier.range_strat < unmap@toy.vm_lock }
"#;
    check(
        text,
        &[
            "2:26 64MB: `64MB` is not a number [did you mean `64M`?]",
            "3:12 0x10001: 0x10001 is not a multiple of the page size 0x1000 [the whole pages around it are `0x10000..0x50000`]",
            "6:33 vm_lok: this driver has no lock `vm_lok` [did you mean `vm_lock`?]",
            "9:5 mumap: expected a statement, found `mumap` [did you mean `munmap`?]",
            "11:15 notifier.range_strat: there is no sync point `notifier.range_strat` [did you mean `notifier.range_start`?]",
        ],
    );
}

#[test]
fn a_mistake_is_rendered_with_file_line_caret_and_help() {
    let text = "scenario \"t\"\nmm A {\n    vma 0x1000..0x1800 rw anon\n";
    let diagnostics = parse("dir/t.mms", text).expect_err("two mistakes");
    let rendered: Vec<String> = diagnostics.iter().map(|d| d.render("dir/t.mms", text, false)).collect();
    let expected = [
        "\
error: 0x1800 is not a multiple of the page size 0x1000
 --> dir/t.mms:3:17
  |
3 |     vma 0x1000..0x1800 rw anon
  |                 ^^^^^^
  |
  = help: the whole pages around it are `0x1000..0x2000`",
        "\
error: missing: `}`
 --> dir/t.mms:3:31
  |
2 | mm A {
  |      - to close this
3 |     vma 0x1000..0x1800 rw anon
  |                               ^ expected here",
    ];
    assert_eq!(rendered, expected, "{}", rendered.join("\n\n"));
    let colored = diagnostics[0].render("dir/t.mms", text, true);
    assert!(colored.contains("\u{1b}["), "{colored}");
}

#[test]
fn files_that_are_no_scenario_get_one_line() {
    check("", &["1:1 : the file is empty [a scenario begins with `scenario \"what it shows\"`]"]);
    check("\u{feff} \r\n\t\n", &["1:1 : the file is empty [a scenario begins with `scenario \"what it shows\"`]"]);
    let binary = "\u{7f}ELF\u{2}\u{1}\u{1}\0\0\0";
    check(binary, &["1:1 : this is not a text file: it has a control character at byte 0"]);
    let d = &parse("a.out", binary).expect_err("binary")[0];
    assert_eq!(
        d.render("a.out", binary, false),
        "error: this is not a text file: it has a control character at byte 0\n--> a.out"
    );
    check(
        "# only a comment\n",
        &["2:1 : the scenario has no title [begin the file with `scenario \"what it shows\"`]"],
    );
}

#[test]
fn byte_order_marks_and_carriage_returns_are_white_space() {
    let text = format!("\u{feff}{}", SKETCH.replace('\n', "\r\n"));
    let with = parse_with(&vocabulary(), "t.mms", &text).expect("no mistake");
    let without = parse_with(&vocabulary(), "t.mms", SKETCH).expect("no mistake");
    assert_eq!(with, without);
}

#[test]
fn sections() {
    check("scenario \"t\" taks a { }", &["1:14 taks: expected a section, found `taks` [did you mean `task`?]"]);
    check("scenario \"t\" }", &["1:14 }: this `}` closes nothing"]);
    check(
        "scenario \"t\"\nmachine { cpus 1 }\nmachine { seed 1 }",
        &["3:1 machine: `machine` appears twice [put both into one]"],
    );
    check(
        "kernel 6.13 task t { }",
        &[
            "1:1 kernel: the scenario has no title [begin the file with `scenario \"what it shows\"`]",
            "1:8 6.13: no preset for kernel 6.13 [one of `6.12`, `6.1`]",
        ],
    );
    check(
        "scenario \"t\" expect { LD-CIRCULA, LD-CIRCULAR, LD-CIRCULAR } never { stele }",
        &[
            "1:23 LD-CIRCULA: there is no finding code `LD-CIRCULA` [did you mean `LD-CIRCULAR`?]",
            "1:48 LD-CIRCULAR: finding code `LD-CIRCULAR` appears twice",
            "1:70 stele: there is no kind of finding `stele` [did you mean `stale`?]",
        ],
    );
    check(
        "scenario \"t\" task task { } task t { } task t { }",
        &["1:19 task: `task` is a word of the language and cannot be a task's name", "1:44 t: task `t` appears twice"],
    );
}

#[test]
fn machine_and_annotations() {
    check(
        "scenario \"t\" machine { cpus 0 memory 0 swap 4097 sede 7 seed 8 cpus 65 }",
        &[
            "1:29 0: 0 is not possible as a number of CPUs [at least 1]",
            "1:38 0: a machine without memory cannot run [for example `64M`]",
            "1:45 4097: 4097 is not a multiple of the page size 4096 [did you mean `4K`?]",
            "1:50 sede: expected a machine setting, found `sede` [did you mean `seed`?]",
            "1:57 seed: `seed` is set twice",
            "1:64 cpus: `cpus` is set twice",
            "1:69 65: 65 is not possible as a number of CPUs [at most 64]",
        ],
    );
    check(
        "scenario \"t\" machine { memory_model tsoo memory_model arm }",
        &[
            "1:37 tsoo: expected a value of `memory_model`, found `tsoo` [did you mean `tso`?]",
            "1:55 arm: expected a value of `memory_model`, found `arm` [one of `sc`, `tso`, `relaxed`]",
        ],
    );
    check(
        "scenario \"t\" annotations { range_start globl  wrap_end never  prime { fs_reclaim, fs_reclaim, touch }  touch 3 }",
        &[
            "1:40 globl: expected a value of `range_start`, found `globl` [did you mean `global`?]",
            "1:56 never: expected a value of `wrap_end`, found `never` [one of `always`, `subscribed`]",
            "1:83 fs_reclaim: `fs_reclaim` is listed twice",
            "1:95 touch: expected a value of `prime`, found `touch` [one of `registration`, `take_all_locks`, `fs_reclaim`]",
            "1:110 3: expected a value of `touch`, found `3` [one of `read_begin`, `remove`, `none`]",
        ],
    );
}

#[test]
fn address_spaces() {
    check(
        "scenario \"t\" mm A { vma 0x1000..0x3000 rw anon vma 0x2000..0x4000 wr anon vma 0x8000 r anom touch 0x3000..0x5000 }",
        &[
            "1:67 wr: expected a protection such as `rw`, found `wr` [did you mean `rw`?]",
            "1:79 0x8000: expected an address range such as `0x10000..0x12000`, found one address [the page there is `0x8000..0x9000`]",
            "1:88 anom: expected `anon` or `file \"name\"`, found `anom` [did you mean `anon`?]",
        ],
    );
    check(
        "scenario \"t\" mm A { vma 0x1000..0x3000 rw anon vma 0x2000..0x4000 rw anon touch 0x3000..0x5000 }",
        &[
            "1:52 0x2000..0x4000: this mapping overlaps another one",
            "1:81 0x3000..0x5000: 0x4000 is in no mapping of `A` [only mapped pages can be touched]",
        ],
    );
    check(
        "scenario \"t\" mm A { touch 0x1000..0x2000 }",
        &["1:27 0x1000..0x2000: 0x1000 is in no mapping of `A` [this mm has no `vma`]"],
    );
}

#[test]
fn numbers_and_ranges() {
    check_task(
        "munmap A 0x1000..0x1000",
        &["1:10 0x1000..0x1000: this range holds no page [the end is exclusive: one page is `0x1000..0x2000`]"],
    );
    check_task(
        "munmap A 0x2000..0x1000",
        &["1:10 0x2000..0x1000: this range holds no page [did you mean `0x1000..0x2000`?]"],
    );
    check_task(
        "munmap A 0x0..0x800000000000",
        &["1:15 0x800000000000: 0x800000000000 is beyond the end of user space [user space is `0x0..0x7ffffffff000`]"],
    );
    check_task(
        "munmap A 0x10_0G..0xfffffffffffffffff",
        &[
            "1:10 0x10_0G: `0x10_0G` is not a number [numbers are decimal `4096`, hexadecimal `0x1000` or sizes `4K`, `64M`, `1G`]",
            "1:19 0xfffffffffffffffff: `0xfffffffffffffffff` is not a number [numbers have 64 bits: the largest is `0xffff_ffff_ffff_ffff`]",
        ],
    );
    check_task("munmap A 64K..128K  munmap A 0x1_0000..0x2_0000", &[]);
    check_task(
        "read A 0x10000..0x20000",
        &["1:15 ..: expected one address, not a range, found `..` [the first byte of the range is `0x10000`]"],
    );
    check_task(
        "alloc 0 GFP_KERNL",
        &[
            "1:7 0: 0 is not possible as a number of pages [at least 1]",
            "1:9 GFP_KERNL: expected allocation flags such as `GFP_KERNEL`, found `GFP_KERNL` [did you mean `GFP_KERNEL`?]",
        ],
    );
}

#[test]
fn statements() {
    check_task(
        "defragment",
        &[
            "1:1 defragment: expected a statement, found `defragment` [one of `mmap`, `munmap`, `mprotect`, `brk`, `read`, `write`, `touch`, `exit`, `alloc`, `reclaim`, `compact`, `swapin`, `with`, `repeat`, `register`, `unregister`, `sync`, `yield`, `notify`, `load`, `store`, `add`, `smp_load_acquire`, `smp_store_release`, `smp_mb`, `smp_wmb`, `smp_rmb`, `if`, `check`, `return`, `mark`, `sleep`, `file_write`]",
        ],
    );
    check_task("munmap A\nyield", &["1:9 : missing: an address range such as `0x10000..0x12000`"]);
    check_task(
        "munmap B 0x10000..0x12000  register gpu1  exit",
        &[
            "1:8 B: there is no mm `B` [only `A` is possible here]",
            "1:37 gpu1: there is no device `gpu1` [did you mean `gpu0`?]",
            "1:47 : missing: an mm's name",
        ],
    );
    check_task(
        "munmap A 5 munmap A\n%% munmap\nyield",
        &[
            "1:10 5: expected an address range such as `0x10000..0x12000`, found one address [the page there is `0x0..0x1000`]",
            "1:20 : missing: an address range such as `0x10000..0x12000`",
            "2:1 %%: `%%` means nothing here",
            "3:6 : missing: an address range such as `0x10000..0x12000`",
        ],
    );
    check_task(
        "reclaim 3  reclaim pages 3",
        &[
            "1:12 reclaim: expected `pages`, found `reclaim`",
            "1:20 pages: there is no mm `pages` [only `A` is possible here]",
            "1:26 3: expected an address range such as `0x10000..0x12000`, found one address [the page there is `0x0..0x1000`]",
        ],
    );
    check_task("sync a  sync 3", &["1:14 3: expected a sync point's name, found `3`"]);
    check_task("repeat x { munmap B 0x0..0x1000 }", &["1:8 x: expected a number of times, found `x`"]);
    check_task(
        "repeat x { munmap A 0x0..0x1 }",
        &[
            "1:8 x: expected a number of times, found `x`",
            "1:26 0x1: 0x1 is not a multiple of the page size 0x1000 [the whole pages around it are `0x0..0x1000`]",
        ],
    );
}

#[test]
fn locks_and_words_of_no_device() {
    let check = |task: &str, expect: &[&str]| {
        let text = format!(
            "scenario \"t\"\nglobals {{ mutex big  rwsem tree  word pte 2  word seq }}\ntask t {{\n{task}\n}}\n"
        );
        check(&text, expect);
    };
    check("with big { add seq 1 } with read tree { load s seq  if s is 1 { return } else { check s not pte } }", &[]);
    check("with bug { }", &["4:6 bug: there is no lock `bug` [did you mean `big`?]"]);
    check("with pte { }", &["4:6 pte: there is no lock `pte` [one of `big`, `tree`]"]);
    check(
        "with tree { } with read big { }",
        &[
            "4:6 tree: `tree` is an rwsem: taken to read or to write? [`with read ..` or `with write ..`]",
            "4:20 read: `big` is a mutex, which is not taken to read [leave out `read`]",
        ],
    );
    check(
        "load s sq  store big 1",
        &[
            "4:8 sq: there is no word `sq` [did you mean `seq`?]",
            "4:18 big: there is no word `big` [one of `pte`, `seq`]",
        ],
    );
    check("if s equals 1 { }", &["4:6 equals: expected a comparison, found `equals` [one of `is`, `not`, `has`]"]);
    check("add seq", &["4:8 : missing: a number or a register"]);
}

#[test]
fn locks_and_operations_of_devices() {
    check_task("with toy.l { } with read toy.r { } with write toy.r { }", &[]);
    check_task("with toy { }", &["1:6 toy: `toy` is a device, not a lock [a lock of it is written `toy.LOCK`]"]);
    check_task("with toy.m { }", &["1:10 m: device `toy` has no lock `m` [one of `l`, `r`]"]);
    check_task(
        "with toy.r { } with read toy.l { }",
        &[
            "1:10 r: `r` is an rwsem: taken to read or to write? [`with read ..` or `with write ..`]",
            "1:21 read: `l` is a mutex, which is not taken to read [leave out `read`]",
        ],
    );
    check_task(
        "toy.bind 0x10000..0x11000  toy.bnd 0x10000..0x11000",
        &["1:32 bnd: device `toy` has no operation `bnd` [did you mean `bind`?]"],
    );
    check_task(
        "toy.bind toy.bind 7 toy.kick 7 8 toy.write 0x0..0x1000 7 9",
        &[
            "1:9 : `bind` takes an address range [write `bind RANGE`]",
            "1:19 7: `bind` takes an address range here [write `bind RANGE`]",
            "1:30 7 8: `kick` takes no more arguments [write `kick`]",
            "1:44 0x0..0x1000: `write` takes an address here [write `write ADDRESS [VALUE]`]",
            "1:58 9: `write` takes no more arguments [write `write ADDRESS [VALUE]`]",
        ],
    );
    check_task(
        "gpu0.submit gpu0.submit 4  with gpu0.obj_lock { } gpu1.submit 4",
        &[
            "1:12 : `submit` takes a number [write `submit COUNT`]",
            "1:51 gpu1: there is no device `gpu1` [did you mean `gpu0`?]",
        ],
    );
}

#[test]
fn device_headers_and_settings() {
    let devices = |text: &str| format!("scenario \"t\" mm A {{ }}\n{text}");
    check(
        &devices("device d : intervl(A, 0x0..0x1000) { mutex l on invalidate(range) { zap rang } }"),
        &[
            "2:12 intervl: there is no driver `intervl` [did you mean `interval`?]",
            "2:73 rang: expected `range` or an address range, found `rang` [`range` is what the handler or operation was called with]",
        ],
    );
    check(
        &devices("device d : nosuch(A)"),
        &["2:12 nosuch: there is no driver `nosuch` [one of `i915_userptr`, `interval`, `list`]"],
    );
    check(
        &devices("device d : interval(A) device user : list(A, 0x0..0x1000)"),
        &[
            "2:21 A: `interval` subscribes to a range [for example `interval(A, 0x10000..0x50000)`]",
            "2:31 user: a device cannot be called `user` [sync points `user` would be ambiguous]",
            "2:46 0x0..0x1000: `list` hears of the whole mm and takes no range [write `list(A)`]",
        ],
    );
    check(
        &devices("device d : i915_userptr(A) { mutant some-nam batch eight flavour odl lable \"x\" mutex m batch 3 }"),
        &[
            "2:37 some-nam: driver `i915_userptr` has no mutant `some-nam` [did you mean `some-name`?]",
            "2:52 eight: option `batch` takes a number",
            "2:66 odl: option `flavour` takes another word [did you mean `old`?]",
            "2:70 lable: driver `i915_userptr` has no option `lable` [did you mean `label`?]",
            "2:80 mutex: `mutex` belongs to an inline driver [inline drivers are `interval(MM, RANGE)` and `list(MM)`]",
        ],
    );
    // A device whose line is wrong is still known, and so is what uses it.
    check(
        &devices(
            "device d i915_userptr(A)\ntask t { d.get_pages  with d.obj_lock { } }\norder { t@d.obj_lock < t@d.get_pages }",
        ),
        &["2:10 i915_userptr: expected `:` and the driver, found `i915_userptr`"],
    );
}

#[test]
fn inline_drivers() {
    let interval = "interval(A, 0x0..0x1000)";
    check_driver(
        interval,
        "mutx l on invalidate(range) { with l { zap range } }",
        &["1 mutx: expected a lock, `on` or `op`, found `mutx` [did you mean `mutex`?]"],
    );
    check_driver(
        interval,
        "mutex l spinlock l op l { }",
        &["18 l: lock or operation `l` appears twice", "23 l: lock or operation `l` appears twice"],
    );
    check_driver(
        interval,
        "on start(range) { } on invalidate { } on invalidate(range) { } op b(pages) { }",
        &[
            "4 start: `interval` drivers have no `start` [one of `invalidate`, `shrink`]",
            "24 invalidate: `invalidate` has a range [write `on invalidate(range)`]",
            "42 invalidate: `on invalidate` appears twice",
            "69 pages: expected `range`, found `pages` [the one parameter there can be is called `range`]",
        ],
    );
    check_driver(
        "list(A)",
        "on release { zap range refuse } op b { zap range read_begin set_seq if blockable { } }",
        &[
            "18 range: `on release` is called without a range [write an address range such as `0x10000..0x12000`]",
            "24 refuse: `refuse` has no meaning in `on release` [only `on invalidate`, `on start` and `on shrink` can be told not to block]",
            "44 range: `op b` is called without a range [declare it `op b(range)`, or write an address range]",
            "50 read_begin: `read_begin` is for `interval` drivers [a list subscriber has no sequence number]",
            "61 set_seq: `set_seq` is for `interval` drivers [a list subscriber has no sequence number]",
            "69 if blockable: `if blockable` has no meaning in `op b` [only `on invalidate`, `on start` and `on shrink` can be told not to block]",
        ],
    );
    check_driver(
        interval,
        "op b(range) { check_retry retry { check_retry } set_seq if blocking { flush } else { flsh } }",
        &[
            "15 check_retry: `check_retry` has nothing to start again [put it into `retry { .. }`]",
            "35 check_retry: `check_retry` without a `read_begin` to compare with [`op b` needs a `read_begin` before it]",
            "49 set_seq: `set_seq` has no meaning in `op b` [only `on invalidate` is given a sequence number to set]",
            "60 blocking: expected `blockable`, found `blocking`",
            "86 flsh: expected a driver statement, found `flsh` [did you mean `flush`?]",
        ],
    );
}

#[test]
fn pins_and_assertions() {
    let clauses =
        |text: &str| format!("scenario \"t\" mm A {{ }} device d : list(A) {{ mutex l }} task t {{ sync s }}\n{text}");
    check(&clauses("order { t@mm.zap < t@user.s < t@d.l  t@alloc < t@d.map }"), &[]);
    check(
        &clauses("order { u@mm.zap < t@user.x  t@d.m < t@e.l  t mm.zap  t@alloc }"),
        &[
            "2:9 u@mm.zap: there is no task `u` [only `t` is possible here]",
            "2:22 user.x: there is no sync point `user.x` [did you mean `user.s`?]",
            "2:32 d.m: there is no sync point `d.m` [did you mean `d.l`?]",
            "2:40 e.l: there is no sync point `e.l` [did you mean `d.l`?]",
            "2:47 mm: expected `@` and a sync point, found `mm`",
        ],
    );
    check(
        &clauses("order { t@mm.zap < t@alloc < t@d.l\n t@d.l < t@mm.zap }"),
        &["3:2 t@d.l < t@mm.zap: this pin contradicts the others [`t@d.l` already has to happen after `t@mm.zap`]"],
    );
    check(
        &clauses("order { t@mm.zap < t@mm.zap }"),
        &["2:9 t@mm.zap < t@mm.zap: this pin contradicts the others [nothing happens before itself]"],
    );
    check(&clauses("steer { t reclaim 1 takes 1, t victim 1 takes 4, t victim 2 takes A 0x10fff }"), &[]);
    check(
        &clauses(
            "steer { u reclaim 1 takes 1\n t victm 7 takes 4\n t victim 0 takes 1\n t victim 2 take 1\n t reclaim 1 takes 0; t reclaim 1 takes 1\n t victim 3 takes AA 0x1000\n t fail 1 takes A 0x1000 }",
        ),
        &[
            "2:9 u: there is no task `u` [only `t` is possible here]",
            "3:4 victm: expected a choice, found `victm` [did you mean `victim`?]",
            "4:11 0: 0 is not possible as which choice of the task it is, from 1",
            "5:13 take: expected `takes` and the number of an option, found `take`",
            "6:23 t reclaim 1 takes 1: this choice is steered twice",
            "7:19 AA: there is no mm `AA` [only `A` is possible here]",
            "8:17 A: expected the number of an option, found `A`",
        ],
    );
    check(
        &clauses(
            "assert { callbacks d.begin == 1  callbacks e.start == 1  acquired x = 3\n blockd_tasks == 0  edge a b  allocations l == 1  no edges }",
        ),
        &[
            "2:22 begin: device `d` has no callback `begin` [one of `end`, `release`, `shrink`, `start`]",
            "2:44 e: there is no device `e` [only `d` is possible here]",
            "2:69 =: `=` means nothing here [a comparison is `==`, `>=` or `<=`]",
            "3:2 blockd_tasks: expected an assertion, found `blockd_tasks` [did you mean `blocked_tasks`?]",
            "3:28 b: expected `->` and a lock class, found `b`",
            "3:43 l: expected `under` and a lock class, found `l`",
            "3:54 edges: expected `edge`, found `edges`",
        ],
    );
}

#[test]
fn unclosed_blocks_are_reported_once_and_the_next_section_is_read() {
    check(
        "scenario \"t\"\ntask a {\n repeat 2 {\n  yield\ntask b { munmap A }",
        &["4:8 : missing: `}`", "5:18 : missing: an address range such as `0x10000..0x12000`"],
    );
    check("scenario \"t", &["1:10 \"t: this string has no end [a string ends with `\"` on the line it began on]"]);
    check(
        r#"scenario "a\qb""#,
        &[
            r#"1:12 \q: unknown escape in a string [one of `\"`, `\\`, `\n`, `\t`, `\u{1F600}`; a plain backslash is `\\`]"#,
        ],
    );
}

#[test]
fn nesting_has_a_limit_and_one_diagnostic() {
    let nested = |depth: usize| {
        let (open, close) = ("repeat 2 { ".repeat(depth), "} ".repeat(depth));
        format!("scenario \"t\" task t {{ {open} yield {close} }}")
    };
    // The task's own block counts.
    check(&nested(scenario::MAX_DEPTH - 1), &[]);
    assert_eq!(mistakes(&nested(scenario::MAX_DEPTH)).len(), 1);
    assert_eq!(mistakes(&nested(100_000)).len(), 1);
    let unclosed = format!("scenario \"t\" task t {{ {}", "repeat 2 {".repeat(100_000));
    let found = mistakes(&unclosed);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("nested more than 64 deep"), "{found:?}");
}

#[test]
fn the_caller_decides_which_statements_exist() {
    let mut known = vocabulary();
    known.statements.remove("swapin");
    let text = "scenario \"t\" mm A { } task t { swapin A 0x0..0x1000 }";
    let found = parse_with(&known, "t.mms", text).expect_err("a statement too many");
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("`swapin`"), "{}", found[0]);
    check(text, &[]);
}

#[test]
fn without_a_vocabulary_open_names_are_taken_on_trust() {
    let text = "scenario \"t\" expect { ANY } mm A { } device d : mine(A) { mutant m  o 3 } \
                task t { d.go 3  with d.l { } } order { t@d.l < t@d.go } never { any }";
    assert_eq!(parse("t.mms", text).map_err(|d| d.len()).err(), None);
    assert_eq!(mistakes(text).len(), 3);
}

#[test]
fn a_span_leads_back_to_its_line() {
    let scenario = parse_with(&vocabulary(), "t.mms", SKETCH).expect("no mistake");
    let unmap = scenario.tasks.iter().find(|t| t.name.as_str() == "unmap");
    let statement = unmap.expect("the task").body[0].span;
    let position = scenario.source.position(statement).expect("parsed from text");
    let line = SKETCH.lines().nth(position.line - 1).expect("in the text");
    assert!(line[position.column - 1..].starts_with("munmap A"), "{line}");
    assert_eq!(scenario.source.name(), "t.mms");
}

#[test]
fn handlers_and_locks_against_them() {
    let check = |body: &str, expect: &[&str]| {
        let text = format!(
            "scenario \"t\"\nglobals {{ mutex big  rwsem tree  spinlock slock }} mm A {{ vma 0x10000..0x50000 rw anon }}\n\
             task t {{ with irqsave slock {{ }} with bh slock {{ }} with slock {{ }} }}\n{body}\n"
        );
        check(&text, expect);
    };
    check("irq eth0 times 3 { with slock { alloc 1 GFP_ATOMIC } }  timer tick after 5 { return }", &[]);
    check("steer { eth0 interrupt 1 takes t }  softirq eth0 { }  order { t@slock < eth0@interrupt.arrive }", &[]);
    check(
        "irq a { munmap A 0x10000..0x11000  with slock { read A 0x10000 } }",
        &[
            "4:9 munmap A 0x10000..0x11000: the handler of an interrupt, `a`, cannot do this [it takes locks, uses words, allocates and calls devices]",
            "4:49 read A 0x10000: the handler of an interrupt, `a`, cannot do this [it takes locks, uses words, allocates and calls devices]",
        ],
    );
    check("timer t2 { }", &["4:10 {: expected `after` and a number of milliseconds, found `{`"]);
    check("irq a times 0 { }", &["4:13 0: 0 is not possible as a number of times [at least 1]"]);
    check("irq t { }", &["4:5 t: task `t` appears twice"]);
    check("machine { memory_model sc }  irq a { }", &[]);
    check(
        "machine { memory_model tso }  irq a { }",
        &["4:24 tso: a scenario with interrupts has no weak memory [leave out `memory_model`]"],
    );
    check(
        "irq a { } steer { a interrupt 1 takes b  a interrupt 2 takes a }",
        &[
            "4:39 b: there is no task `b` [only `t` is possible here]",
            "4:62 a: there is no task `a` [only `t` is possible here]",
        ],
    );
    check(
        "softirq s { with bh big { } with irqsave tree { } with read slock { } }",
        &[
            "4:18 bh: `big` is a mutex: `bh` is for spinlocks [leave out `bh`]",
            "4:34 irqsave: `tree` is an rwsem: no handler may take it [`with read ..` or `with write ..`]",
            "4:56 read: `slock` is a spinlock, which is not taken to read [leave out `read`]",
        ],
    );
}
