//! Printing a scenario and parsing what was printed gives the scenario back.

mod common;

use common::{SKETCH, vocabulary};
use mm_types::{Gfp, PageRange, Pgoff, Prot, TASK_SIZE, VirtAddr, Vpn};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use scenario::ast::*;
use scenario::{MmOp, OperandKind, Scenario, Spanned, Word, parse_with};

fn spanned<T: std::fmt::Debug>(s: impl Strategy<Value = T>) -> impl Strategy<Value = Spanned<T>> {
    s.prop_map(Spanned::from)
}

fn word<W: Word + std::fmt::Debug>() -> impl Strategy<Value = W> + Clone {
    select(W::ALL)
}

fn range() -> impl Strategy<Value = Spanned<PageRange>> + Clone {
    let last = TASK_SIZE / 4096;
    (0..last, 1..64_u64).prop_map(move |(start, len)| {
        let end = (start + len).min(last);
        Spanned::from(PageRange::new(Vpn(start), Vpn(end)).expect("not empty"))
    })
}

fn addr() -> impl Strategy<Value = Spanned<VirtAddr>> {
    (0..TASK_SIZE).prop_map(|a| Spanned::from(VirtAddr(a)))
}

fn prot() -> impl Strategy<Value = Spanned<Prot>> {
    (0..8_u8).prop_map(|bits| Spanned::from(Prot::from_bits_truncate(bits)))
}

fn gfp() -> impl Strategy<Value = Spanned<Gfp>> {
    select(&Gfp::WORDS[..]).prop_map(|(_, gfp)| Spanned::from(gfp))
}

fn pages() -> impl Strategy<Value = Spanned<u64>> {
    spanned(1..=u64::from(u32::MAX))
}

fn text() -> impl Strategy<Value = Name> {
    spanned("\\PC{0,12}|[\"\\\\\n\t#{}a]{0,8}")
}

fn name(among: &'static [&'static str]) -> impl Strategy<Value = Name> + Clone {
    select(among).prop_map(|n| Spanned::from(n.to_owned()))
}

fn mm_name() -> impl Strategy<Value = Name> + Clone {
    name(&["A", "b-2"])
}

fn device_name() -> impl Strategy<Value = Name> + Clone {
    name(&["gpu0", "toy", "ear"])
}

fn sync_name() -> impl Strategy<Value = Name> + Clone {
    name(&["done", "munmap", "s-1"])
}

fn mapping() -> impl Strategy<Value = Spanned<Mapping>> {
    let file = (text(), 0..1_u64 << 40, any::<bool>()).prop_map(|(name, offset, shmem)| Backing::File {
        name,
        offset: Pgoff(offset),
        shmem,
    });
    let named = option::of((text(), (0..1_u64 << 20).prop_map(|gib| gib << 18)));
    let hugetlb = named.prop_map(|named| match named {
        Some((name, offset)) => Backing::Hugetlb { name: Some(name), offset: Pgoff(offset) },
        None => Backing::Hugetlb { name: None, offset: Pgoff(0) },
    });
    let backing = prop_oneof![Just(Backing::Anon), file, hugetlb];
    let dax = (text(), 0..1_u64 << 20).prop_map(|(name, gib)| {
        let backing = Backing::Dax { name, offset: Pgoff(gib << 18) };
        Mapping { backing, sharing: Sharing::Shared }
    });
    let other = (backing, word::<Sharing>()).prop_map(|(backing, sharing)| Mapping { backing, sharing });
    prop_oneof![4 => other, 1 => dax].prop_map(Spanned::from)
}

fn mm(name: &'static str) -> impl Strategy<Value = Spanned<Mm>> {
    // Side by side, so that none overlap.
    let vma = (1..16_u64, 0..4_u64, prot(), mapping());
    let touched = any::<prop::sample::Index>();
    (vec(vma, 0..4), option::of(addr()), vec(touched, 0..3)).prop_map(move |(parts, brk, touched)| {
        let mut next = Vpn(16);
        let mut vmas = Vec::new();
        for (len, gap, prot, mapping) in parts {
            let unit = match mapping.node.backing {
                Backing::Hugetlb { .. } | Backing::Dax { .. } => 1 << 18,
                Backing::Anon | Backing::File { .. } => 1,
            };
            let start = Vpn((next + gap).0.next_multiple_of(unit));
            let range = PageRange::with_len(start, len * unit).expect("not empty");
            next = range.end();
            let range = Spanned::from(range);
            vmas.push(Spanned::from(Vma { range, prot, mapping }));
        }
        let touches = if vmas.is_empty() {
            Vec::new()
        } else {
            let pick = |i: &prop::sample::Index| i.get(&vmas).node.range;
            touched.iter().map(pick).collect()
        };
        Spanned::from(Mm { name: Spanned::from(name.to_owned()), vmas, brk, touches, forked: false })
    })
}

fn range_expr() -> impl Strategy<Value = Spanned<RangeExpr>> {
    prop_oneof![Just(Spanned::from(RangeExpr::Argument)), range().prop_map(|r| Spanned::from(RangeExpr::Pages(r.node))),]
}

/// The locks every generated inline driver has: one of each kind.
fn own_lock() -> impl Strategy<Value = (Name, Option<Spanned<LockMode>>)> {
    prop_oneof![
        Just((Spanned::from("m".to_owned()), None)),
        spanned(select(&[LockMode::Irqsave, LockMode::Bh][..]))
            .prop_map(|mode| (Spanned::from("s".to_owned()), Some(mode))),
        Just((Spanned::from("s".to_owned()), None)),
        spanned(select(&[LockMode::Read, LockMode::Write][..]))
            .prop_map(|mode| (Spanned::from("read".to_owned()), Some(mode))),
    ]
}

/// Statements that fit into `on invalidate`, which allows everything but `check_retry`.
fn driver_statement() -> impl Strategy<Value = Spanned<DriverStatement>> {
    let leaf = prop_oneof![
        range_expr().prop_map(DriverStatement::Zap),
        range_expr().prop_map(DriverStatement::Map),
        range_expr().prop_map(DriverStatement::Fault),
        range_expr().prop_map(DriverStatement::Pin),
        range_expr().prop_map(DriverStatement::Unpin),
        (pages(), gfp()).prop_map(|(nr_pages, gfp)| DriverStatement::Alloc { nr_pages, gfp }),
        sync_name().prop_map(|name| DriverStatement::Sync { name }),
        select(vec![
            DriverStatement::Sleep,
            DriverStatement::SetSeq,
            DriverStatement::ReadBegin,
            DriverStatement::Refuse,
            DriverStatement::Flush,
            // The one shape in which `check_retry` is always right.
            DriverStatement::Retry {
                body: vec![Spanned::from(DriverStatement::ReadBegin), Spanned::from(DriverStatement::CheckRetry),],
            },
        ]),
    ];
    spanned(leaf).prop_recursive(4, 24, 4, |inner| {
        let body = || vec(inner.clone(), 0..4);
        let nested = prop_oneof![
            (own_lock(), body()).prop_map(|((lock, mode), body)| DriverStatement::With { lock, mode, body }),
            body().prop_map(|body| DriverStatement::Retry { body }),
            (body(), body()).prop_map(|(then, otherwise)| DriverStatement::IfBlockable { then, otherwise }),
        ];
        spanned(nested)
    })
}

fn toy() -> impl Strategy<Value = Spanned<Device>> {
    let body = || vec(driver_statement(), 0..5);
    (mm_name(), range(), body()).prop_map(|(mm, range, body)| {
        let lock = |kind: LockKind, name: &str, class: Option<&str>| {
            let class = class.map(|c| Spanned::from(c.to_owned()));
            Spanned::from(Lock { kind: Spanned::from(kind), name: Spanned::from(name.to_owned()), class })
        };
        let driver = InlineDriver {
            locks: vec![
                lock(LockKind::Mutex, "m", None),
                lock(LockKind::Spinlock, "s", Some("&mm->page_table_lock")),
                lock(LockKind::Rwsem, "read", Some("class")),
            ],
            handlers: vec![Spanned::from(Handler { callback: Spanned::from(Callback::Invalidate), body })],
            operations: vec![Spanned::from(Operation {
                name: Spanned::from("kick".to_owned()),
                takes_range: false,
                body: vec![Spanned::from(DriverStatement::Flush)],
            })],
        };
        Spanned::from(Device {
            name: Spanned::from("toy".to_owned()),
            driver: Spanned::from("interval".to_owned()),
            mm,
            range: Some(range),
            body: DeviceBody::Inline(driver),
        })
    })
}

fn ear() -> impl Strategy<Value = Spanned<Device>> {
    mm_name().prop_map(|mm| {
        Spanned::from(Device {
            name: Spanned::from("ear".to_owned()),
            driver: Spanned::from("list".to_owned()),
            mm,
            range: None,
            body: DeviceBody::Inline(InlineDriver::default()),
        })
    })
}

fn gpu0() -> impl Strategy<Value = Spanned<Device>> {
    let label =
        prop_oneof![text().prop_map(|t| OptionValue::Text(t.node)), Just(OptionValue::Word("bare".to_owned())),];
    let options = (option::of(any::<u64>().prop_map(OptionValue::Number)), option::of(label));
    let mutant = option::of(Just(Spanned::from("some-name".to_owned())));
    (mm_name(), option::of(range()), mutant, options).prop_map(|(mm, range, mutant, (batch, label))| {
        let named = [("batch", batch), ("label", label)];
        let options = named.into_iter().filter_map(|(name, value)| {
            Some(Spanned::from(DeviceOption { name: Spanned::from(name.to_owned()), value: Spanned::from(value?) }))
        });
        let options = options.collect();
        Spanned::from(Device {
            name: Spanned::from("gpu0".to_owned()),
            driver: Spanned::from("i915_userptr".to_owned()),
            mm,
            range,
            body: DeviceBody::Named(NamedDriver { mutant, options }),
        })
    })
}

fn call() -> impl Strategy<Value = Statement> {
    let call = |device: &str, operation: &str, arguments: Vec<Argument>| Statement::Call {
        device: Spanned::from(device.to_owned()),
        operation: Spanned::from(operation.to_owned()),
        arguments: arguments.into_iter().map(Spanned::from).collect(),
    };
    prop_oneof![
        range().prop_map(move |r| call("toy", "map", vec![Argument::Range(r.node)])),
        any::<u64>().prop_map(move |n| call("gpu0", "read", vec![Argument::Number(n)])),
        (any::<u64>(), any::<u64>()).prop_map(move |(a, v)| call(
            "ear",
            "write",
            vec![Argument::Number(a), Argument::Number(v)]
        )),
        Just(call("gpu0", "get_pages", vec![])),
        Just(call("toy", "kick", vec![])),
    ]
}

fn device_lock() -> impl Strategy<Value = (Name, Name, Option<Spanned<LockMode>>)> {
    prop_oneof![
        own_lock().prop_map(|(lock, mode)| (Spanned::from("toy".to_owned()), lock, mode)),
        Just((Spanned::from("gpu0".to_owned()), Spanned::from("obj_lock".to_owned()), None)),
    ]
}

fn value() -> impl Strategy<Value = Spanned<Value>> + Clone {
    let register = select(&["r", "s"][..]).prop_map(|r| Value::Register(r.to_owned()));
    prop_oneof![any::<u64>().prop_map(Value::Number), register].prop_map(Spanned::from)
}

fn condition() -> impl Strategy<Value = Spanned<Condition>> + Clone {
    (name(&["r", "s"]), word(), value())
        .prop_map(|(register, relation, value)| Spanned::from(Condition { register, relation, value }))
}

fn global_statement() -> impl Strategy<Value = Statement> {
    let word = || name(&["pte", "seq"]);
    let statement = prop_oneof![
        (name(&["r", "s"]), word(), any::<bool>()).prop_map(|(register, word, acquire)| GlobalStatement::Load {
            register,
            word,
            acquire
        }),
        (word(), value(), any::<bool>()).prop_map(|(word, value, release)| GlobalStatement::Store {
            word,
            value,
            release
        }),
        select(Barrier::ALL).prop_map(GlobalStatement::Barrier),
        (word(), value()).prop_map(|(word, value)| GlobalStatement::Add { word, value }),
        condition().prop_map(|condition| GlobalStatement::Check { condition }),
        Just(GlobalStatement::Return),
    ];
    statement.prop_map(Statement::Global)
}

fn globals() -> impl Strategy<Value = Vec<Spanned<Global>>> {
    (any::<u64>(), 0..2_u64).prop_map(|(pte, seq)| {
        let named = |name: &str| Spanned::from(name.to_owned());
        let lock = |name, kind| Global::Lock { name: named(name), kind: Spanned::from(kind) };
        let globals = [
            lock("big", LockKind::Mutex),
            lock("tree", LockKind::Rwsem),
            lock("slock", LockKind::Spinlock),
            Global::Word { name: named("pte"), value: pte },
            Global::Word { name: named("seq"), value: seq },
        ];
        globals.into_iter().map(Spanned::from).collect()
    })
}

fn operand(kind: OperandKind) -> BoxedStrategy<Operand> {
    match kind {
        OperandKind::Mm => mm_name().prop_map(|name| Operand::Mm(name.node)).boxed(),
        OperandKind::Range => range().prop_map(|range| Operand::Range(range.node)).boxed(),
        OperandKind::RangeOrNumber => prop_oneof![operand(OperandKind::Range), operand(OperandKind::Number)].boxed(),
        OperandKind::Number => any::<u64>().prop_map(Operand::Number).boxed(),
        OperandKind::Text => text().prop_map(|text| Operand::Text(text.node)).boxed(),
        OperandKind::Word(words) => select(words).prop_map(|word| Operand::Word(word.to_owned())).boxed(),
    }
}

/// A fork has a checked second operand: that of an mm which is there is refused.
fn op(op: MmOp) -> BoxedStrategy<Statement> {
    if op == MmOp::Fork {
        return Just(Statement::Yield).boxed();
    }
    let (needed, kinds) = op.operands();
    let given = needed..=kinds.len();
    given
        .prop_flat_map(move |n| kinds[..n].iter().map(|kind| spanned(operand(*kind))).collect::<Vec<_>>())
        .prop_map(move |operands| Statement::Op { op: Spanned::from(op), operands })
        .boxed()
}

fn statement() -> impl Strategy<Value = Spanned<Statement>> {
    let mm_calls = prop_oneof![
        (mm_name(), range(), prot(), mapping())
            .prop_map(|(mm, range, prot, mapping)| { Statement::Mmap { mm, range, prot, mapping } }),
        (mm_name(), range()).prop_map(|(mm, range)| Statement::Munmap { mm, range }),
        (mm_name(), range(), prot()).prop_map(|(mm, range, prot)| Statement::Mprotect { mm, range, prot }),
        (mm_name(), addr()).prop_map(|(mm, addr)| Statement::Brk { mm, addr }),
        (mm_name(), addr()).prop_map(|(mm, addr)| Statement::Read { mm, addr }),
        (mm_name(), addr(), option::of(spanned(any::<u64>()))).prop_map(|(mm, addr, value)| Statement::Write {
            mm,
            addr,
            value
        }),
        (mm_name(), range()).prop_map(|(mm, range)| Statement::Touch { mm, range }),
        mm_name().prop_map(|mm| Statement::Exit { mm }),
        (mm_name(), range()).prop_map(|(mm, range)| Statement::ReclaimRange { mm, range }),
        (mm_name(), range()).prop_map(|(mm, range)| Statement::Compact { mm, range }),
        (mm_name(), range()).prop_map(|(mm, range)| Statement::Swapin { mm, range }),
    ];
    let others = prop_oneof![
        (pages(), gfp()).prop_map(|(nr_pages, gfp)| Statement::Alloc { nr_pages, gfp }),
        pages().prop_map(|nr_pages| Statement::ReclaimPages { nr_pages }),
        device_name().prop_map(|device| Statement::Register { device }),
        device_name().prop_map(|device| Statement::Unregister { device }),
        sync_name().prop_map(|name| Statement::Sync { name }),
        Just(Statement::Yield),
        text().prop_map(|text| Statement::Mark { text }),
        spanned(1..=u64::from(u32::MAX)).prop_map(|ms| Statement::Sleep { ms }),
        select(MmOp::ALL).prop_flat_map(op),
        call(),
    ];
    let leaf = prop_oneof![mm_calls, others, global_statement()];
    spanned(leaf).prop_recursive(5, 24, 4, |inner| {
        let body = || vec(inner.clone(), 0..4);
        let nested = prop_oneof![
            body().prop_map(|body| {
                let lock = Spanned::from("big".to_owned());
                Statement::Global(GlobalStatement::With { lock, mode: None, body })
            }),
            (select(&[LockMode::Read, LockMode::Write][..]), body()).prop_map(|(mode, body)| {
                let lock = Spanned::from("tree".to_owned());
                Statement::Global(GlobalStatement::With { lock, mode: Some(Spanned::from(mode)), body })
            }),
            (condition(), body(), body()).prop_map(|(condition, then, otherwise)| {
                Statement::Global(GlobalStatement::If { condition, then, otherwise })
            }),
            (device_lock(), body()).prop_map(|((device, lock, mode), body)| Statement::With {
                device,
                lock,
                mode,
                body
            }),
            (spanned(1..=u32::MAX), body()).prop_map(|(times, body)| Statement::Repeat { times, body }),
            (any::<bool>(), mm_name(), range(), body()).prop_map(|(nonblock, mm, range, body)| Statement::Notify {
                nonblock,
                mm,
                range,
                body
            }),
            (any::<bool>(), body()).prop_map(|(shared, body)| Statement::FileWrite { shared, body }),
        ];
        spanned(nested)
    })
}

/// Pins that all point the same way: from the first task to the second.
fn pin() -> impl Strategy<Value = Spanned<Pin>> {
    let point = || select(vec!["alloc", "mm.zap", "notifier.range_start", "toy.read", "toy.kick", "gpu0.obj_lock"]);
    (point(), point()).prop_map(|(before, after)| {
        let at = |task: &str, point: &str| Spanned::from(PinPoint { task: task.to_owned(), point: point.to_owned() });
        Spanned::from(Pin { before: at("first", before), after: at("second", after) })
    })
}

fn steer() -> impl Strategy<Value = Spanned<Steer>> {
    let option = any::<u32>().prop_map(Taken::Option);
    let page = (Just(Spanned::from("A".to_owned())), addr()).prop_map(|(mm, addr)| Taken::Page { mm, addr: addr.node });
    let takes = prop_oneof![
        (spanned(word::<SteeredChoice>()), spanned(option)),
        (Just(Spanned::from(SteeredChoice::Victim)), spanned(page)),
        (
            Just(Spanned::from(SteeredChoice::Interrupt)),
            Just(Spanned::from(Taken::Cpu(Spanned::from("second".to_owned()))))
        ),
    ];
    (name(&["first", "second"]), spanned(1..=u32::MAX), takes)
        .prop_map(|(task, nth, (choice, takes))| Spanned::from(Steer { task, choice, nth, takes }))
}

fn assertion() -> impl Strategy<Value = Spanned<Assertion>> {
    let counted = prop_oneof![
        name(&["start", "release"])
            .prop_map(|callback| Counted::Callbacks { device: Spanned::from("gpu0".to_owned()), callback }),
        text().prop_map(|class| Counted::Acquired { class }),
        text().prop_map(|class| Counted::AllocationsUnder { class }),
        Just(Counted::ReclaimInvalidations),
        Just(Counted::BlockedTasks),
    ];
    let count = (counted, spanned(word::<Comparison>()), spanned(any::<u64>()))
        .prop_map(|(counted, comparison, value)| Assertion::Count { counted, comparison, value });
    let edge = (any::<bool>(), text(), text()).prop_map(|(present, from, to)| Assertion::Edge { present, from, to });
    spanned(prop_oneof![count, edge])
}

fn machine() -> impl Strategy<Value = Machine> {
    (
        option::of(spanned(1..=64_u32)),
        option::of(spanned((1..1_u64 << 40).prop_map(|n| n * 4096))),
        option::of(spanned((0..1_u64 << 40).prop_map(|n| n * 4096))),
        option::of(spanned(any::<u64>())),
        option::of(spanned(select(Switch::ALL))),
        option::of(spanned(select(Switch::ALL))),
        option::of(spanned(select(Switch::ALL))),
        option::of(spanned(select(MemoryModel::ALL))),
        option::of(spanned(1..=u64::MAX)),
    )
        .prop_map(
            |(cpus, memory_bytes, swap_bytes, seed, kswapd, oom_killer, failures, memory_model, max_steps)| Machine {
                cpus,
                memory_bytes,
                swap_bytes,
                seed,
                kswapd,
                oom_killer,
                failures,
                memory_model,
                max_steps,
            },
        )
}

fn annotations() -> impl Strategy<Value = Annotations> {
    (
        option::of(spanned(word())),
        option::of(spanned(word())),
        option::of(spanned(word())),
        option::of(spanned(word())),
        option::of(spanned(btree_set(word(), 0..4))),
        option::of(spanned(btree_set(word(), 0..3))),
        option::of(spanned(word())),
        option::of(spanned(word())),
    )
        .prop_map(|(range_start, range_end, wrap_start, wrap_end, prime, touch, other_callbacks, srcu)| {
            Annotations { range_start, range_end, wrap_start, wrap_end, prime, touch, other_callbacks, srcu }
        })
}

/// A handler that does what handlers may.
fn handler(name: &'static str) -> impl Strategy<Value = Spanned<Task>> {
    let after = spanned(1..=u64::from(u32::MAX));
    let source = prop_oneof![
        Just(InterruptSource::Irq),
        Just(InterruptSource::Softirq),
        after.prop_map(|after| InterruptSource::Timer { after }),
    ];
    let leaf = prop_oneof![
        Just(Statement::Yield),
        (pages(), gfp()).prop_map(|(nr_pages, gfp)| Statement::Alloc { nr_pages, gfp }),
        call(),
        global_statement(),
    ];
    let held =
        (select(&[LockMode::Irqsave, LockMode::Bh][..]), vec(spanned(leaf.clone()), 0..3)).prop_map(|(mode, body)| {
            let lock = Spanned::from("slock".to_owned());
            Statement::Global(GlobalStatement::With { lock, mode: Some(Spanned::from(mode)), body })
        });
    let body = vec(spanned(prop_oneof![leaf, held]), 0..4);
    (source, option::of(spanned(1..=u32::MAX)), body).prop_map(|(source, times, body)| {
        let interrupt = Some(Interrupt { source, times });
        Spanned::from(Task { name: Spanned::from(name.to_owned()), interrupt, body })
    })
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let body = || vec(statement(), 0..6);
    let codes = prop_oneof![Just(vec![]), Just(vec!["LD-CIRCULAR"]), Just(vec!["STALE", "LD-CIRCULAR"])];
    (
        (text(), option::of(spanned(word())), machine(), annotations()),
        (mm("A"), mm("b-2"), gpu0(), toy(), ear()),
        (body(), body(), vec(pin(), 0..4), vec(steer(), 0..3)),
        (codes, any::<bool>(), vec(assertion(), 0..5), globals(), (handler("eth0"), handler("tick"))),
    )
        .prop_map(|(head, (a, b, gpu0, toy, ear), (first, second, order, steer), tail)| {
            let (codes, never, asserts, globals, (eth0, tick)) = tail;
            let (title, kernel, machine, annotations) = head;
            // Handlers and weak memory do not go together.
            let weak = machine.memory_model.as_ref().is_some_and(|model| model.node != MemoryModel::Sc);
            let handlers = if weak { Vec::new() } else { vec![eth0, tick] };
            let task = |name: &str, body| {
                let name = Spanned::from(name.to_owned());
                Spanned::from(Task { name, interrupt: None, body })
            };
            let words = |words: &[&str]| -> Vec<Name> { words.iter().map(|&w| Spanned::from(w.to_owned())).collect() };
            Scenario {
                title,
                kernel,
                machine,
                annotations,
                mms: vec![a, b],
                globals,
                devices: vec![gpu0, toy, ear],
                tasks: [vec![task("first", first), task("second", second)], handlers].concat(),
                order,
                steer,
                expect: words(&codes),
                never: words(if never { &["stale", "deadlock"] } else { &[] }),
                quirks: words(if never { &[] } else { &["munmap-unpaired-end"] }),
                asserts,
                ..Scenario::default()
            }
        })
}

#[track_caller]
fn reparse(text: &str) -> Scenario {
    match parse_with(&vocabulary(), "printed.mms", text) {
        Ok(scenario) => scenario,
        Err(diagnostics) => {
            let all: Vec<String> = diagnostics.iter().map(|d| d.render("printed.mms", text, false)).collect();
            panic!("{}\n{text}", all.join("\n\n"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_printed_scenario_parses_to_an_equal_one(scenario in scenario()) {
        let text = scenario.to_string();
        let again = reparse(&text);
        prop_assert_eq!(&again, &scenario, "{}", text);
        prop_assert_eq!(again.to_string(), text);
    }
}

#[test]
fn the_reference_scenario_survives_printing() {
    let scenario = reparse(SKETCH);
    assert_eq!(reparse(&scenario.to_string()), scenario);
}

#[test]
fn canonical_text_is_pinned() {
    let text = r#"scenario "t" machine { seed 7 memory 65536K cpus 2 }
        annotations { touch { } prime fs_reclaim wrap_end subscribed }
        mm A { touch 64K..0x11000 vma 0x10000..0x20000 rw anon private }
        device d : interval(A, 0x10000..0x20000) {
            op go(range) { } rwsem l
            on invalidate(range) { if blockable { with write l { zap range } } else { refuse } }
        }
        task t { write A 0x10000 7; write A 65536 4096 repeat 2 { } d.go 64K..68K }
        order { t@d.go < t@mm.zap < t@alloc } never { stale deadlock } expect { STALE }
        steer { t reclaim 2 takes 1; t victim 1 takes 0 }
        assert { acquired x >= 3 no edge a -> "b c" }"#;
    let expected = r#"scenario "t"
expect { STALE }
machine {
    cpus 2
    memory 64M
    seed 7
}
annotations {
    wrap_end subscribed
    prime fs_reclaim
    touch none
}
mm A {
    vma 0x10000..0x20000 rw anon
    touch 0x10000..0x11000
}
device d : interval(A, 0x10000..0x20000) {
    rwsem l
    on invalidate(range) {
        if blockable {
            with write l {
                zap range
            }
        } else {
            refuse
        }
    }
    op go(range) {}
}
task t {
    write A 0x10000 7
    write A 0x10000 0x1000
    repeat 2 {}
    d.go 0x10000..0x11000
}
order {
    t@d.go < t@mm.zap
    t@mm.zap < t@alloc
}
steer {
    t reclaim 2 takes 1
    t victim 1 takes 0
}
never { stale, deadlock }
assert {
    acquired "x" >= 3
    no edge "a" -> "b c"
}
"#;
    assert_eq!(reparse(text).to_string(), expected);
}
