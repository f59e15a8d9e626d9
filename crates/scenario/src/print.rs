//! A scenario as canonical text: one item a line, four spaces a level, sections in the order of the
//! reference, nothing that says what an absence says as well.

use crate::ast::{
    Annotations, Argument, Assertion, Backing, Condition, Counted, Device, DeviceBody, DriverStatement, Global,
    GlobalStatement, InlineDriver, Interrupt, InterruptSource, LockMode, Machine, Mapping, Mm, NamedDriver, Operand,
    OptionValue, Pin, RangeExpr, Scenario, Sharing, Statement, Steer, Taken, Task, Value,
};
use crate::parser::PROTS;
use crate::span::Spanned;
use crate::words::{TaskWord, Word};
use mm_types::{PAGE_SIZE, PageRange, Pgoff, Prot, VirtAddr};
use std::collections::BTreeSet;
use std::fmt::{self, Write};

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Taken::Option(option) => write!(f, "{option}"),
            Taken::Page { mm, addr } => write!(f, "{} {addr}", mm.node),
            Taken::Cpu(task) => f.write_str(&task.node),
        }
    }
}

impl fmt::Display for Scenario {
    /// Canonical text; parsing it gives an equal scenario. Comments are lost.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer { text: String::new(), depth: 0 };
        printer.scenario(self);
        f.write_str(&printer.text)
    }
}

struct Printer {
    text: String,
    depth: usize,
}

impl Printer {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        let indent = self.depth * 4;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{:indent$}{line}", "");
    }

    /// `HEAD {`, what `items` prints, `}`; `HEAD {}` if that is nothing.
    fn block(&mut self, head: fmt::Arguments<'_>, items: impl FnOnce(&mut Self)) {
        self.line(format_args!("{head} {{"));
        let empty = self.text.len();
        self.depth += 1;
        items(self);
        self.depth -= 1;
        if self.text.len() == empty {
            self.text.truncate(empty - 1);
            self.text.push_str("}\n");
        } else {
            self.line(format_args!("}}"));
        }
    }

    fn scenario(&mut self, s: &Scenario) {
        self.line(format_args!("scenario {}", Quoted(&s.title)));
        if let Some(kernel) = &s.kernel {
            self.line(format_args!("kernel {}", kernel.node));
        }
        self.name_list("expect", &s.expect);
        self.machine(&s.machine);
        self.annotations(&s.annotations);
        self.name_list("quirks", &s.quirks);
        self.name_list("behaviours", &s.behaviours);
        s.mms.iter().for_each(|mm| self.mm(mm));
        self.globals(&s.globals);
        s.devices.iter().for_each(|device| self.device(device));
        s.tasks.iter().for_each(|task| self.task(task));
        if !s.order.is_empty() {
            self.block(format_args!("order"), |p| {
                s.order.iter().for_each(|pin| p.pin(pin));
            });
        }
        if !s.steer.is_empty() {
            self.block(format_args!("steer"), |p| {
                for Steer { task, choice, nth, takes } in s.steer.iter().map(|s| &s.node) {
                    p.line(format_args!("{} {} {} takes {}", task.node, choice.node, nth.node, takes.node));
                }
            });
        }
        self.name_list("never", &s.never);
        if !s.asserts.is_empty() {
            self.block(format_args!("assert"), |p| {
                s.asserts.iter().for_each(|a| p.assertion(a));
            });
        }
    }

    fn name_list(&mut self, head: &str, names: &[Spanned<String>]) {
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(|n| n.as_str()).collect();
            self.line(format_args!("{head} {{ {} }}", names.join(", ")));
        }
    }

    fn machine(&mut self, m: &Machine) {
        if *m == Machine::default() {
            return;
        }
        self.block(format_args!("machine"), |p| {
            if let Some(cpus) = &m.cpus {
                p.line(format_args!("cpus {}", cpus.node));
            }
            if let Some(memory) = &m.memory_bytes {
                p.line(format_args!("memory {}", size(memory.node)));
            }
            if let Some(swap) = &m.swap_bytes {
                p.line(format_args!("swap {}", size(swap.node)));
            }
            if let Some(seed) = &m.seed {
                p.line(format_args!("seed {}", seed.node));
            }
            p.setting("kswapd", m.kswapd);
            p.setting("oom_killer", m.oom_killer);
            p.setting("failures", m.failures);
            if let Some(steps) = &m.max_steps {
                p.line(format_args!("max_steps {}", steps.node));
            }
            p.setting("memory_model", m.memory_model);
        });
    }

    fn annotations(&mut self, a: &Annotations) {
        if *a == Annotations::default() {
            return;
        }
        self.block(format_args!("annotations"), |p| {
            p.setting("range_start", a.range_start);
            p.setting("range_end", a.range_end);
            p.setting("wrap_start", a.wrap_start);
            p.setting("wrap_end", a.wrap_end);
            p.setting_set("prime", &a.prime);
            p.setting_set("touch", &a.touch);
            p.setting("other_callbacks", a.other_callbacks);
            p.setting("srcu", a.srcu);
        });
    }

    fn setting<W: Word>(&mut self, name: &str, value: Option<Spanned<W>>) {
        if let Some(value) = value {
            self.line(format_args!("{name} {}", value.word()));
        }
    }

    fn setting_set<W: Word>(&mut self, name: &str, value: &Option<Spanned<BTreeSet<W>>>) {
        let Some(value) = value else { return };
        let words: Vec<&str> = value.iter().map(|w| w.word()).collect();
        match words.as_slice() {
            [] => self.line(format_args!("{name} none")),
            [one] => self.line(format_args!("{name} {one}")),
            many => self.line(format_args!("{name} {{ {} }}", many.join(", "))),
        }
    }

    fn mm(&mut self, mm: &Mm) {
        self.block(format_args!("mm {}", mm.name.node), |p| {
            for vma in &mm.vmas {
                let range = Range(vma.range.node);
                let prot = prot(vma.prot.node);
                p.line(format_args!("vma {range} {prot} {}", vma.mapping.node));
            }
            if mm.forked {
                p.line(format_args!("forked"));
            }
            if let Some(brk) = &mm.brk {
                p.line(format_args!("brk {}", brk.node));
            }
            for touch in &mm.touches {
                p.line(format_args!("touch {}", Range(touch.node)));
            }
        });
    }

    fn globals(&mut self, globals: &[Spanned<Global>]) {
        if globals.is_empty() {
            return;
        }
        self.block(format_args!("globals"), |p| {
            for global in globals {
                match &global.node {
                    Global::Lock { name, kind } => p.line(format_args!("{} {}", kind.node, name.node)),
                    Global::Word { name, value: 0 } => p.line(format_args!("word {}", name.node)),
                    Global::Word { name, value } => p.line(format_args!("word {} {}", name.node, number(*value))),
                }
            }
        });
    }

    fn global_statement(&mut self, statement: &GlobalStatement<Vec<Spanned<Statement>>>) {
        match statement {
            GlobalStatement::With { lock, mode, body } => {
                let mode = mode_word(*mode);
                self.task_block(format_args!("with {mode}{}", lock.node), body);
            }
            GlobalStatement::If { condition, then, otherwise } => {
                self.task_block(format_args!("if {}", condition.node), then);
                if !otherwise.is_empty() {
                    // On a line of its own: an empty `then` ends in its own brace.
                    self.task_block(format_args!("else"), otherwise);
                }
            }
            GlobalStatement::Load { register, word, acquire } => {
                let load = if *acquire { TaskWord::SmpLoadAcquire } else { TaskWord::Load };
                self.line(format_args!("{load} {} {}", register.node, word.node));
            }
            GlobalStatement::Store { word, value, release } => {
                let store = if *release { TaskWord::SmpStoreRelease } else { TaskWord::Store };
                self.line(format_args!("{store} {} {}", word.node, value.node));
            }
            GlobalStatement::Barrier(barrier) => self.line(format_args!("{barrier}")),
            GlobalStatement::Add { word, value } => self.line(format_args!("add {} {}", word.node, value.node)),
            GlobalStatement::Check { condition } => self.line(format_args!("check {}", condition.node)),
            GlobalStatement::Return => self.line(format_args!("return")),
        }
    }

    fn device(&mut self, d: &Device) {
        let range = match &d.range {
            Some(range) => format!(", {}", Range(range.node)),
            None => String::new(),
        };
        let (name, driver, mm) = (&d.name.node, &d.driver.node, &d.mm.node);
        let head = format!("device {name} : {driver}({mm}{range})");
        match &d.body {
            DeviceBody::Named(body) if *body == NamedDriver::default() => {
                self.line(format_args!("{head}"));
            }
            DeviceBody::Named(body) => self.block(format_args!("{head}"), |p| p.named(body)),
            DeviceBody::Inline(body) => self.block(format_args!("{head}"), |p| p.inline(body)),
        }
    }

    fn named(&mut self, driver: &NamedDriver) {
        if let Some(mutant) = &driver.mutant {
            self.line(format_args!("mutant {}", Quoted(mutant)));
        }
        for option in &driver.options {
            let name = &option.name.node;
            match &option.value.node {
                OptionValue::Number(n) => self.line(format_args!("{name} {}", number(*n))),
                OptionValue::Word(word) => self.line(format_args!("{name} {word}")),
                OptionValue::Text(text) => self.line(format_args!("{name} {}", Quoted(text))),
            }
        }
    }

    fn inline(&mut self, driver: &InlineDriver) {
        for lock in &driver.locks {
            match &lock.class {
                Some(class) => self.line(format_args!("{} {} class {}", lock.kind.node, lock.name.node, Quoted(class))),
                None => self.line(format_args!("{} {}", lock.kind.node, lock.name.node)),
            }
        }
        for handler in &driver.handlers {
            let callback = handler.callback.node;
            let parameter = parameter(callback.takes_range());
            self.driver_block(format_args!("on {callback}{parameter}"), &handler.body);
        }
        for op in &driver.operations {
            let parameter = parameter(op.takes_range);
            self.driver_block(format_args!("op {}{parameter}", op.name.node), &op.body);
        }
    }

    fn driver_block(&mut self, head: fmt::Arguments<'_>, body: &[Spanned<DriverStatement>]) {
        self.block(head, |p| body.iter().for_each(|s| p.driver_statement(s)));
    }

    fn driver_statement(&mut self, statement: &DriverStatement) {
        match statement {
            DriverStatement::With { lock, mode, body } => {
                let mode = mode_word(*mode);
                self.driver_block(format_args!("with {mode}{}", lock.node), body);
            }
            DriverStatement::Retry { body } => self.driver_block(format_args!("retry"), body),
            DriverStatement::IfBlockable { then, otherwise } => {
                self.driver_block(format_args!("if blockable"), then);
                if !otherwise.is_empty() {
                    // `else` joins the line of the closing brace.
                    self.text.truncate(self.text.len() - 1);
                    self.text.push_str(" else {\n");
                    self.depth += 1;
                    otherwise.iter().for_each(|s| self.driver_statement(s));
                    self.depth -= 1;
                    self.line(format_args!("}}"));
                }
            }
            DriverStatement::Zap(range) => self.line(format_args!("zap {}", range.node)),
            DriverStatement::Map(range) => self.line(format_args!("map {}", range.node)),
            DriverStatement::Fault(range) => self.line(format_args!("fault {}", range.node)),
            DriverStatement::Pin(range) => self.line(format_args!("pin {}", range.node)),
            DriverStatement::Unpin(range) => self.line(format_args!("unpin {}", range.node)),
            DriverStatement::Alloc { nr_pages, gfp } => {
                self.line(format_args!("alloc {} {}", nr_pages.node, gfp.node));
            }
            DriverStatement::Sleep => self.line(format_args!("sleep")),
            DriverStatement::SetSeq => self.line(format_args!("set_seq")),
            DriverStatement::ReadBegin => self.line(format_args!("read_begin")),
            DriverStatement::CheckRetry => self.line(format_args!("check_retry")),
            DriverStatement::Refuse => self.line(format_args!("refuse")),
            DriverStatement::Sync { name } => self.line(format_args!("sync {}", name.node)),
            DriverStatement::Flush => self.line(format_args!("flush")),
        }
    }

    fn task(&mut self, task: &Task) {
        let Some(Interrupt { source, times }) = &task.interrupt else {
            return self.task_block(format_args!("task {}", task.name.node), &task.body);
        };
        let after = match source {
            InterruptSource::Timer { after } => format!(" after {}", after.node),
            InterruptSource::Irq | InterruptSource::Softirq => String::new(),
        };
        let times = times.map_or_else(String::new, |times| format!(" times {}", times.node));
        let word = source.word();
        self.task_block(format_args!("{word} {}{after}{times}", task.name.node), &task.body);
    }

    fn task_block(&mut self, head: fmt::Arguments<'_>, body: &[Spanned<Statement>]) {
        self.block(head, |p| body.iter().for_each(|s| p.statement(s)));
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::With { device, lock, mode, body } => {
                let (device, lock) = (&device.node, &lock.node);
                let mode = mode_word(*mode);
                self.task_block(format_args!("with {mode}{device}.{lock}"), body);
            }
            Statement::Repeat { times, body } => {
                self.task_block(format_args!("repeat {}", times.node), body);
            }
            Statement::Notify { nonblock, mm, range, body } => {
                let nonblock = if *nonblock { "nonblock " } else { "" };
                self.task_block(format_args!("notify {nonblock}{} {}", mm.node, Range(range.node)), body);
            }
            Statement::Global(statement) => self.global_statement(statement),
            Statement::FileWrite { shared, body } => {
                let shared = if *shared { " shared" } else { "" };
                self.task_block(format_args!("file_write{shared}"), body);
            }
            simple => self.line(format_args!("{}", Simple(simple))),
        }
    }

    fn pin(&mut self, pin: &Pin) {
        let (a, b) = (&pin.before.node, &pin.after.node);
        let (at, bt) = (&a.task, &b.task);
        self.line(format_args!("{at}@{} < {bt}@{}", a.point, b.point));
    }

    fn assertion(&mut self, assertion: &Assertion) {
        match assertion {
            Assertion::Count { counted, comparison, value } => {
                let (comparison, value) = (comparison.node, value.node);
                self.line(format_args!("{counted} {comparison} {value}"));
            }
            Assertion::Edge { present, from, to } => {
                let no = if *present { "" } else { "no " };
                let (from, to) = (Quoted(from), Quoted(to));
                self.line(format_args!("{no}edge {from} -> {to}"));
            }
        }
    }
}

/// A statement without a block.
struct Simple<'a>(&'a Statement);

impl fmt::Display for Simple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Statement::Mmap { mm, range, prot: flags, mapping } => {
                let (range, prot) = (Range(range.node), prot(flags.node));
                write!(f, "mmap {} {range} {prot} {}", mm.node, mapping.node)
            }
            Statement::Munmap { mm, range } => {
                write!(f, "munmap {} {}", mm.node, Range(range.node))
            }
            Statement::Mprotect { mm, range, prot: flags } => {
                let (range, prot) = (Range(range.node), prot(flags.node));
                write!(f, "mprotect {} {range} {prot}", mm.node)
            }
            Statement::Brk { mm, addr } => write!(f, "brk {} {}", mm.node, addr.node),
            Statement::Read { mm, addr } => write!(f, "read {} {}", mm.node, addr.node),
            Statement::Write { mm, addr, value } => {
                write!(f, "write {} {}", mm.node, addr.node)?;
                match value {
                    Some(value) => write!(f, " {}", number(value.node)),
                    None => Ok(()),
                }
            }
            Statement::Touch { mm, range } => write!(f, "touch {} {}", mm.node, Range(range.node)),
            Statement::Exit { mm } => write!(f, "exit {}", mm.node),
            Statement::Alloc { nr_pages, gfp } => write!(f, "alloc {} {}", nr_pages.node, gfp.node),
            Statement::ReclaimRange { mm, range } => {
                write!(f, "reclaim {} {}", mm.node, Range(range.node))
            }
            Statement::ReclaimPages { nr_pages } => write!(f, "reclaim {} pages", nr_pages.node),
            Statement::Compact { mm, range } => {
                write!(f, "compact {} {}", mm.node, Range(range.node))
            }
            Statement::Swapin { mm, range } => {
                write!(f, "swapin {} {}", mm.node, Range(range.node))
            }
            Statement::Call { device, operation, arguments } => {
                write!(f, "{}.{}", device.node, operation.node)?;
                arguments.iter().try_for_each(|a| write!(f, " {}", a.node))
            }
            Statement::Register { device } => write!(f, "register {}", device.node),
            Statement::Unregister { device } => write!(f, "unregister {}", device.node),
            Statement::Sync { name } => write!(f, "sync {}", name.node),
            Statement::Yield => f.write_str("yield"),
            Statement::Mark { text } => write!(f, "mark {}", Quoted(text)),
            Statement::Sleep { ms } => write!(f, "sleep {}", ms.node),
            Statement::Op { op, operands } => {
                f.write_str(op.word())?;
                operands.iter().try_for_each(|o| write!(f, " {}", o.node))
            }
            Statement::With { .. }
            | Statement::Repeat { .. }
            | Statement::Notify { .. }
            | Statement::FileWrite { .. }
            | Statement::Global(_) => Ok(()),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Mm(name) | Operand::Word(name) => f.write_str(name),
            Operand::Range(range) => Range(*range).fmt(f),
            Operand::Number(n) => f.write_str(&number(*n)),
            Operand::Text(text) => Quoted(text).fmt(f),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(n) => f.write_str(&number(*n)),
            Value::Register(register) => f.write_str(register),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.register.node, self.relation, self.value.node)
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Argument::Range(range) => Range(*range).fmt(f),
            Argument::Number(n) => f.write_str(&number(*n)),
        }
    }
}

impl fmt::Display for RangeExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeExpr::Argument => f.write_str("range"),
            RangeExpr::Pages(range) => Range(*range).fmt(f),
        }
    }
}

fn write_offset(f: &mut fmt::Formatter<'_>, offset: Pgoff) -> fmt::Result {
    if offset.0 == 0 { Ok(()) } else { write!(f, " offset {:#x}", offset.0.saturating_mul(PAGE_SIZE)) }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.backing {
            Backing::Anon => f.write_str("anon")?,
            Backing::File { name, offset, shmem } => {
                write!(f, "{} {}", if *shmem { "shmem" } else { "file" }, Quoted(name))?;
                write_offset(f, *offset)?;
            }
            Backing::Dax { name, offset } => {
                write!(f, "dax {}", Quoted(name))?;
                write_offset(f, *offset)?;
            }
            Backing::Hugetlb { name, offset } => {
                f.write_str("hugetlb")?;
                if let Some(name) = name {
                    write!(f, " {}", Quoted(name))?;
                    write_offset(f, *offset)?;
                }
            }
        }
        match self.sharing {
            Sharing::Private => Ok(()),
            // There is no other.
            Sharing::Shared if matches!(self.backing, Backing::Dax { .. }) => Ok(()),
            Sharing::Shared => f.write_str(" shared"),
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Counted::Callbacks { device, callback } => {
                write!(f, "callbacks {}.{}", device.node, callback.node)
            }
            Counted::Acquired { class } => write!(f, "acquired {}", Quoted(class)),
            Counted::AllocationsUnder { class } => {
                write!(f, "allocations under {}", Quoted(class))
            }
            Counted::ReclaimInvalidations => f.write_str("reclaim_invalidations"),
            Counted::BlockedTasks => f.write_str("blocked_tasks"),
        }
    }
}

/// `0x10000..0x12000`
struct Range(PageRange);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end): (VirtAddr, VirtAddr) = (self.0.start().addr(), self.0.end().addr());
        write!(f, "{start}..{end}")
    }
}

/// A string in quotes, with escapes for what could not stand in it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

fn parameter(takes_range: bool) -> &'static str {
    if takes_range { "(range)" } else { "" }
}

fn mode_word(mode: Option<Spanned<LockMode>>) -> &'static str {
    match mode.map(|m| m.node) {
        Some(LockMode::Read) => "read ",
        Some(LockMode::Write) => "write ",
        Some(LockMode::Irqsave) => "irqsave ",
        Some(LockMode::Bh) => "bh ",
        None => "",
    }
}

fn prot(prot: Prot) -> &'static str {
    let entry = PROTS.iter().find(|&&(_, p)| p == prot);
    // `PROTS` has an entry for every combination.
    entry.map_or("none", |&(word, _)| word)
}

/// Large numbers are most likely addresses.
fn number(n: u64) -> String {
    if n >= PAGE_SIZE { format!("{n:#x}") } else { n.to_string() }
}

/// A size with the largest unit that loses nothing.
pub(crate) fn size(bytes: u64) -> String {
    for (suffix, unit) in [("G", 1 << 30), ("M", 1 << 20), ("K", 1_u64 << 10)] {
        if bytes != 0 && bytes.is_multiple_of(unit) {
            return format!("{}{suffix}", bytes / unit);
        }
    }
    bytes.to_string()
}
