//! A scenario's tasks and inline drivers as operations: names resolved to indices, each step with the line it came from.

use crate::globals::{GlobalSpec, GlobalStep, Registers};
use ksync::{ChoiceKind, Interrupt, Pin, Steer, Takes};
use mm_types::{Gfp, Name, PageRange, Pgoff, Prot, VirtAddr};
use scenario::ast::{
    Argument, Backing, Callback, Device, DeviceBody, DriverStatement, GlobalStatement, InlineDriver, InlineKind,
    InterruptSource, Lock, LockKind, LockMode, Mapping, Operand, OptionValue, RangeExpr, Sharing, Statement,
    SteeredChoice, Taken,
};
use scenario::{MmOp, Scenario, Span, Spanned, Word};

/// A step with the words a report prints for it: `file.mms:14 (ioctl)`.
#[derive(Debug)]
pub(crate) struct Step<T> {
    pub(crate) frame: Name,
    pub(crate) what: T,
}

/// A scenario, ready to be executed any number of times.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) mms: Vec<MmSpec>,
    pub(crate) devices: Vec<DeviceSpec>,
    pub(crate) globals: GlobalSpec,
    pub(crate) tasks: Vec<TaskSpec>,
    /// Whether anything in it needs memory, address spaces or devices.
    pub(crate) needs_machine: bool,
    /// Whether a task asks the OOM killer.
    pub(crate) asks_oom_killer: bool,
    pub(crate) pins: Vec<Pin>,
    pub(crate) steers: Vec<Steer>,
    /// The frame of what happens before the tasks start.
    pub(crate) setup: Name,
}

#[derive(Debug)]
pub(crate) struct MmSpec {
    pub(crate) name: Name,
    pub(crate) vmas: Vec<Map>,
    pub(crate) brk: Option<VirtAddr>,
    pub(crate) touches: Vec<PageRange>,
    /// It is there only after a fork.
    pub(crate) forked: bool,
}

/// A mapping at a fixed place.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) pages: PageRange,
    pub(crate) prot: Prot,
    pub(crate) shared: bool,
    /// File name and offset; anonymous if absent.
    pub(crate) file: Option<(Name, Pgoff)>,
    pub(crate) object: Object,
}

/// What a mapping shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Object {
    /// Anonymous memory, or a file on a disk.
    Plain,
    /// A file of a memory file system.
    Shmem,
    /// Memory of huge pages, of a file or of none.
    Hugetlb,
    /// A device's memory.
    Dax,
}

#[derive(Debug)]
pub(crate) struct DeviceSpec {
    pub(crate) name: Name,
    pub(crate) mm: usize,
    pub(crate) pages: PageRange,
    pub(crate) driver: DriverSpec,
    /// Whether a task registers it; otherwise it is registered before the tasks start.
    pub(crate) registered_by_task: bool,
}

#[derive(Debug)]
pub(crate) enum DriverSpec {
    Named { driver: Name, mutant: Option<String>, options: Vec<(String, String)> },
    Inline(std::sync::Arc<InlineSpec>),
}

/// A driver written in the scenario.
#[derive(Debug)]
pub(crate) struct InlineSpec {
    pub(crate) kind: InlineKind,
    /// Name within the driver, class name, sort.
    pub(crate) locks: Vec<(String, Name, LockKind)>,
    pub(crate) handlers: Vec<(Callback, Vec<Step<DriverStep>>)>,
    pub(crate) operations: Vec<(String, Vec<Step<DriverStep>>)>,
}

#[derive(Debug)]
pub(crate) struct TaskSpec {
    pub(crate) name: Name,
    /// What makes it run and how often, if it is the handler of an interrupt.
    pub(crate) interrupt: Option<(Interrupt, u32)>,
    pub(crate) registers: usize,
    pub(crate) body: Vec<Step<TaskStep>>,
}

#[derive(Debug)]
pub(crate) enum TaskStep {
    Mmap { mm: usize, map: Map },
    Munmap { mm: usize, pages: PageRange },
    Mprotect { mm: usize, pages: PageRange, prot: Prot },
    Brk { mm: usize, addr: VirtAddr },
    Read { mm: usize, addr: VirtAddr },
    Write { mm: usize, addr: VirtAddr, value: u64 },
    Touch { mm: usize, pages: PageRange },
    Exit { mm: usize },
    Alloc { nr_pages: u32, gfp: Gfp },
    ReclaimRange { mm: usize, pages: PageRange },
    ReclaimPages { nr_pages: u64 },
    Compact { mm: usize, pages: PageRange },
    With { device: usize, lock: String, mode: Option<LockMode>, body: Vec<Step<TaskStep>> },
    Repeat { times: u32, body: Vec<Step<TaskStep>> },
    Call { device: usize, operation: Name, arguments: Vec<Argument> },
    Register { device: usize },
    Unregister { device: usize },
    Sync { name: Name },
    Yield,
    Notify { nonblock: bool, mm: usize, pages: PageRange, body: Vec<Step<TaskStep>> },
    Global(GlobalStep),
    Mark { text: String },
    Sleep { ms: u64 },
    FileWrite { shared: bool, body: Vec<Step<TaskStep>> },
    Op { op: MmOp, operands: Vec<OpOperand> },
}

/// An operand of a kernel operation, its mm resolved.
#[derive(Debug)]
pub(crate) enum OpOperand {
    Mm(usize),
    Range(PageRange),
    Number(u64),
    Text(Name),
    Word(String),
}

#[derive(Debug)]
pub(crate) enum DriverStep {
    With { lock: usize, mode: Option<LockMode>, body: Vec<Step<DriverStep>> },
    Zap(RangeExpr),
    Map(RangeExpr),
    Alloc { nr_pages: u32, gfp: Gfp },
    Sleep,
    SetSeq,
    ReadBegin,
    CheckRetry,
    Retry(Vec<Step<DriverStep>>),
    Fault(RangeExpr),
    Pin(RangeExpr),
    Unpin(RangeExpr),
    Refuse,
    IfBlockable { then: Vec<Step<DriverStep>>, otherwise: Vec<Step<DriverStep>> },
    Sync { name: Name },
    Flush,
}

/// Resolves a scenario.
///
/// # Errors
/// A name that is not defined: the parser reports these with their place, so only a scenario that a program built can
/// have one.
pub(crate) fn compile(scenario: &Scenario) -> Result<Code, String> {
    let globals = GlobalSpec::of(scenario);
    let names = Names { scenario, globals: &globals };
    let registered: Vec<&str> = scenario.tasks.iter().flat_map(|t| registered_in(&t.body)).collect();
    let mut code = Code {
        mms: scenario.mms.iter().map(|m| mm_spec(m)).collect(),
        devices: scenario.devices.iter().map(|d| names.device_spec(d, &registered)).collect::<Result<_, _>>()?,
        tasks: scenario
            .tasks
            .iter()
            .map(|t| {
                let label = &t.name.node;
                let registers = Registers::default();
                let body = names.task_steps(&t.body, label, &registers)?;
                let interrupt = t.interrupt.as_ref().map(interrupt);
                Ok(TaskSpec { name: Name::new(label), interrupt, registers: registers.len(), body })
            })
            .collect::<Result<_, String>>()?,
        pins: scenario
            .order
            .iter()
            .map(|pin| {
                let point = |p: &scenario::ast::PinPoint| (Name::new(&p.task), sync_point(scenario, &p.point));
                Pin { before: point(&pin.before), after: point(&pin.after) }
            })
            .collect(),
        steers: scenario.steer.iter().map(|s| steer(s)).collect(),
        setup: Name::new(&format!("{} (setup)", scenario.source.name())),
        needs_machine: needs_machine(scenario),
        asks_oom_killer: false,
        globals,
    };
    let asks = |step: &TaskStep| matches!(step, TaskStep::Op { op: MmOp::OomKill, .. });
    code.asks_oom_killer = code.tasks.iter().any(|task| any_step(&task.body, &asks));
    Ok(code)
}

/// Whether a step of `body`, or of a body inside of it, is such a one.
fn any_step(body: &[Step<TaskStep>], such: &impl Fn(&TaskStep) -> bool) -> bool {
    body.iter().any(|step| {
        such(&step.what)
            || match &step.what {
                TaskStep::With { body, .. }
                | TaskStep::Repeat { body, .. }
                | TaskStep::Notify { body, .. }
                | TaskStep::FileWrite { body, .. }
                | TaskStep::Global(GlobalStep::With { body, .. }) => any_step(body, such),
                TaskStep::Global(GlobalStep::If { then, otherwise, .. }) => {
                    any_step(then, such) || any_step(otherwise, such)
                }
                _ => false,
            }
    })
}

fn steer(steer: &scenario::ast::Steer) -> Steer {
    let kind = match steer.choice.node {
        SteeredChoice::Reclaim => ChoiceKind::EntersReclaim,
        SteeredChoice::Fail => ChoiceKind::AllocFails,
        SteeredChoice::Victim => ChoiceKind::Victim,
        SteeredChoice::Load => ChoiceKind::Load,
        SteeredChoice::Store => ChoiceKind::Store,
        SteeredChoice::Interrupt => ChoiceKind::Interrupt,
        SteeredChoice::Timer => ChoiceKind::Timer,
    };
    let takes = match &steer.takes.node {
        Taken::Option(option) => Takes::Option(*option),
        Taken::Page { mm, addr } => Takes::Page((Name::new(&mm.node), addr.vpn())),
        Taken::Cpu(task) => Takes::Cpu(Name::new(&task.node)),
    };
    Steer { task: Name::new(&steer.task.node), kind, nth: steer.nth.node, takes }
}

fn interrupt(interrupt: &scenario::ast::Interrupt) -> (Interrupt, u32) {
    let what = match &interrupt.source {
        InterruptSource::Irq => Interrupt::Hardirq,
        InterruptSource::Softirq => Interrupt::Softirq,
        InterruptSource::Timer { after } => Interrupt::Timer { after_ns: after.node.saturating_mul(1_000_000) },
    };
    (what, interrupt.times.map_or(1, |times| times.node))
}

fn mm_spec(mm: &scenario::ast::Mm) -> MmSpec {
    MmSpec {
        name: Name::new(&mm.name.node),
        vmas: mm.vmas.iter().map(|v| map(v.range.node, v.prot.node, &v.mapping)).collect(),
        brk: mm.brk.as_ref().map(|b| b.node),
        touches: mm.touches.iter().map(|t| t.node).collect(),
        forked: mm.forked,
    }
}

fn map(pages: PageRange, prot: Prot, mapping: &Mapping) -> Map {
    let named = |name: &scenario::ast::Name, offset: &Pgoff| (Name::new(&name.node), *offset);
    let (file, object) = match &mapping.backing {
        Backing::Anon => (None, Object::Plain),
        Backing::File { name, offset, shmem: false } => (Some(named(name, offset)), Object::Plain),
        Backing::File { name, offset, shmem: true } => (Some(named(name, offset)), Object::Shmem),
        Backing::Hugetlb { name, offset } => (name.as_ref().map(|name| named(name, offset)), Object::Hugetlb),
        Backing::Dax { name, offset } => (Some(named(name, offset)), Object::Dax),
    };
    Map { pages, prot, shared: mapping.sharing == Sharing::Shared, file, object }
}

/// The devices that a task registers.
fn registered_in(body: &[Spanned<Statement>]) -> Vec<&str> {
    body.iter()
        .flat_map(|s| match &s.node {
            Statement::Register { device } => vec![device.node.as_str()],
            Statement::With { body, .. }
            | Statement::Repeat { body, .. }
            | Statement::Notify { body, .. }
            | Statement::FileWrite { body, .. }
            | Statement::Global(GlobalStatement::With { body, .. }) => registered_in(body),
            Statement::Global(GlobalStatement::If { then, otherwise, .. }) => {
                [registered_in(then), registered_in(otherwise)].concat()
            }
            _ => Vec::new(),
        })
        .collect()
}

impl Code {
    /// Whether no oracle relates what happens to locks: there are no pages, devices and callbacks, and no lock or
    /// handler in which sleeping is forbidden (what CTX is about). How the run ends is all there is to judge.
    pub(crate) fn only_its_end_matters(&self) -> bool {
        let handlers = self.tasks.iter().any(|task| task.interrupt.is_some());
        !self.needs_machine && !self.globals.has_spinlocks() && !handlers
    }
}

/// Whether something of `scenario` is more than locks and words.
fn needs_machine(scenario: &Scenario) -> bool {
    let daemons = [scenario.machine.kswapd, scenario.machine.oom_killer];
    let daemon = daemons.iter().flatten().any(|on| on.node == scenario::ast::Switch::On);
    daemon || !scenario.mms.is_empty() || scenario.tasks.iter().any(|task| any_needs_machine(&task.body))
}

fn any_needs_machine(body: &[Spanned<Statement>]) -> bool {
    body.iter().any(|s| match &s.node {
        Statement::Sync { .. } | Statement::Yield => false,
        Statement::Repeat { body, .. } | Statement::Global(GlobalStatement::With { body, .. }) => {
            any_needs_machine(body)
        }
        Statement::Global(GlobalStatement::If { then, otherwise, .. }) => {
            any_needs_machine(then) || any_needs_machine(otherwise)
        }
        Statement::Global(_) => false,
        _ => true,
    })
}

struct Names<'a> {
    scenario: &'a Scenario,
    globals: &'a GlobalSpec,
}

impl Names<'_> {
    fn mm(&self, name: &str) -> Result<usize, String> {
        self.scenario.mms.iter().position(|m| m.name.node == name).ok_or_else(|| format!("there is no mm `{name}`"))
    }

    fn device(&self, name: &str) -> Result<usize, String> {
        let found = self.scenario.devices.iter().position(|d| d.name.node == name);
        found.ok_or_else(|| format!("there is no device `{name}`"))
    }

    fn frame(&self, span: Span, who: &str) -> Name {
        match self.scenario.source.position(span) {
            Some(at) => Name::new(&format!("{}:{} ({who})", self.scenario.source.name(), at.line)),
            None => Name::new(who),
        }
    }

    fn device_spec(&self, device: &Device, registered: &[&str]) -> Result<DeviceSpec, String> {
        let name = &device.name.node;
        let driver = match &device.body {
            DeviceBody::Named(named) => DriverSpec::Named {
                driver: Name::new(&device.driver.node),
                mutant: named.mutant.as_ref().map(|m| m.node.clone()),
                options: named.options.iter().map(|o| (o.name.node.clone(), option_text(&o.value.node))).collect(),
            },
            DeviceBody::Inline(inline) => {
                DriverSpec::Inline(std::sync::Arc::new(self.inline_spec(name, &device.driver.node, inline)?))
            }
        };
        Ok(DeviceSpec {
            name: Name::new(name),
            mm: self.mm(&device.mm.node)?,
            pages: device.range.as_ref().map_or(PageRange::ALL, |r| r.node),
            driver,
            registered_by_task: registered.contains(&name.as_str()),
        })
    }

    fn inline_spec(&self, device: &str, kind: &str, inline: &InlineDriver) -> Result<InlineSpec, String> {
        let locks: Vec<(String, Name, LockKind)> =
            inline.locks.iter().map(|l| (l.name.node.clone(), lock_class(device, l), l.kind.node)).collect();
        let steps = |body, what: &str| self.driver_steps(body, &locks, &format!("{device} {what}"));
        let handlers = inline
            .handlers
            .iter()
            .map(|h| Ok((h.callback.node, steps(&h.body, h.callback.node.word())?)))
            .collect::<Result<_, String>>()?;
        let operations = inline
            .operations
            .iter()
            .map(|o| Ok((o.name.node.clone(), steps(&o.body, &o.name.node)?)))
            .collect::<Result<_, String>>()?;
        let kind = InlineKind::from_word(kind).ok_or_else(|| format!("`{kind}` is no kind of inline driver"))?;
        Ok(InlineSpec { kind, locks, handlers, operations })
    }

    fn task_steps(
        &self,
        body: &[Spanned<Statement>],
        task: &str,
        registers: &Registers,
    ) -> Result<Vec<Step<TaskStep>>, String> {
        body.iter()
            .map(|s| Ok(Step { frame: self.frame(s.span, task), what: self.task_step(&s.node, task, registers)? }))
            .collect()
    }

    fn task_step(&self, statement: &Statement, task: &str, registers: &Registers) -> Result<TaskStep, String> {
        Ok(match statement {
            Statement::Mmap { mm, range, prot, mapping } => {
                TaskStep::Mmap { mm: self.mm(&mm.node)?, map: map(range.node, prot.node, mapping) }
            }
            Statement::Munmap { mm, range } => TaskStep::Munmap { mm: self.mm(&mm.node)?, pages: range.node },
            Statement::Mprotect { mm, range, prot } => {
                TaskStep::Mprotect { mm: self.mm(&mm.node)?, pages: range.node, prot: prot.node }
            }
            Statement::Brk { mm, addr } => TaskStep::Brk { mm: self.mm(&mm.node)?, addr: addr.node },
            Statement::Read { mm, addr } => TaskStep::Read { mm: self.mm(&mm.node)?, addr: addr.node },
            Statement::Write { mm, addr, value } => {
                // Without a value of its own each store writes its address: distinct, and easy to recognise.
                let value = value.as_ref().map_or(addr.node.0, |v| v.node);
                TaskStep::Write { mm: self.mm(&mm.node)?, addr: addr.node, value }
            }
            // A swapped-out page comes back by being touched.
            Statement::Touch { mm, range } | Statement::Swapin { mm, range } => {
                TaskStep::Touch { mm: self.mm(&mm.node)?, pages: range.node }
            }
            Statement::Exit { mm } => TaskStep::Exit { mm: self.mm(&mm.node)? },
            Statement::Alloc { nr_pages, gfp } => {
                TaskStep::Alloc { nr_pages: u32::try_from(nr_pages.node).unwrap_or(u32::MAX), gfp: gfp.node }
            }
            Statement::ReclaimRange { mm, range } => {
                TaskStep::ReclaimRange { mm: self.mm(&mm.node)?, pages: range.node }
            }
            Statement::Compact { mm, range } => TaskStep::Compact { mm: self.mm(&mm.node)?, pages: range.node },
            Statement::ReclaimPages { nr_pages } => TaskStep::ReclaimPages { nr_pages: nr_pages.node },
            Statement::With { device, lock, mode, body } => TaskStep::With {
                device: self.device(&device.node)?,
                lock: lock.node.clone(),
                mode: mode.map(|m| m.node),
                body: self.task_steps(body, task, registers)?,
            },
            Statement::Repeat { times, body } => {
                TaskStep::Repeat { times: times.node, body: self.task_steps(body, task, registers)? }
            }
            Statement::Notify { nonblock, mm, range, body } => TaskStep::Notify {
                nonblock: *nonblock,
                mm: self.mm(&mm.node)?,
                pages: range.node,
                body: self.task_steps(body, task, registers)?,
            },
            Statement::Call { device, operation, arguments } => TaskStep::Call {
                device: self.device(&device.node)?,
                operation: Name::new(&operation.node),
                arguments: arguments.iter().map(|a| a.node).collect(),
            },
            Statement::Register { device } => TaskStep::Register { device: self.device(&device.node)? },
            Statement::Unregister { device } => TaskStep::Unregister { device: self.device(&device.node)? },
            Statement::Sync { name } => TaskStep::Sync { name: user_point(&name.node) },
            Statement::Yield => TaskStep::Yield,
            Statement::Global(statement) => {
                let nested = |body: &[Spanned<Statement>]| self.task_steps(body, task, registers);
                TaskStep::Global(self.globals.step(statement, registers, nested)?)
            }
            Statement::Mark { text } => TaskStep::Mark { text: text.node.clone() },
            Statement::Sleep { ms } => TaskStep::Sleep { ms: ms.node },
            Statement::FileWrite { shared, body } => {
                TaskStep::FileWrite { shared: *shared, body: self.task_steps(body, task, registers)? }
            }
            Statement::Op { op, operands } => TaskStep::Op {
                op: op.node,
                operands: operands.iter().map(|o| self.operand(&o.node)).collect::<Result<_, _>>()?,
            },
        })
    }

    fn operand(&self, operand: &Operand) -> Result<OpOperand, String> {
        Ok(match operand {
            Operand::Mm(name) => OpOperand::Mm(self.mm(name)?),
            Operand::Range(pages) => OpOperand::Range(*pages),
            Operand::Number(n) => OpOperand::Number(*n),
            Operand::Text(text) => OpOperand::Text(Name::new(text)),
            Operand::Word(word) => OpOperand::Word(word.clone()),
        })
    }

    fn driver_steps(
        &self,
        body: &[Spanned<DriverStatement>],
        locks: &[(String, Name, LockKind)],
        who: &str,
    ) -> Result<Vec<Step<DriverStep>>, String> {
        body.iter()
            .map(|s| Ok(Step { frame: self.frame(s.span, who), what: self.driver_step(&s.node, locks, who)? }))
            .collect()
    }

    fn driver_step(
        &self,
        statement: &DriverStatement,
        locks: &[(String, Name, LockKind)],
        who: &str,
    ) -> Result<DriverStep, String> {
        let steps = |body: &[Spanned<DriverStatement>]| self.driver_steps(body, locks, who);
        Ok(match statement {
            DriverStatement::With { lock, mode, body } => DriverStep::With {
                lock: locks
                    .iter()
                    .position(|(name, ..)| *name == lock.node)
                    .ok_or_else(|| format!("{who}: there is no lock `{}`", lock.node))?,
                mode: mode.map(|m| m.node),
                body: steps(body)?,
            },
            DriverStatement::Zap(range) => DriverStep::Zap(range.node),
            DriverStatement::Map(range) => DriverStep::Map(range.node),
            DriverStatement::Alloc { nr_pages, gfp } => {
                DriverStep::Alloc { nr_pages: u32::try_from(nr_pages.node).unwrap_or(u32::MAX), gfp: gfp.node }
            }
            DriverStatement::Sleep => DriverStep::Sleep,
            DriverStatement::SetSeq => DriverStep::SetSeq,
            DriverStatement::ReadBegin => DriverStep::ReadBegin,
            DriverStatement::CheckRetry => DriverStep::CheckRetry,
            DriverStatement::Retry { body } => DriverStep::Retry(steps(body)?),
            DriverStatement::Fault(range) => DriverStep::Fault(range.node),
            DriverStatement::Pin(range) => DriverStep::Pin(range.node),
            DriverStatement::Unpin(range) => DriverStep::Unpin(range.node),
            DriverStatement::Refuse => DriverStep::Refuse,
            DriverStatement::IfBlockable { then, otherwise } => {
                DriverStep::IfBlockable { then: steps(then)?, otherwise: steps(otherwise)? }
            }
            DriverStatement::Sync { name } => DriverStep::Sync { name: user_point(&name.node) },
            DriverStatement::Flush => DriverStep::Flush,
        })
    }
}

/// The class of a lock of an inline driver.
fn lock_class(device: &str, lock: &Lock) -> Name {
    match &lock.class {
        Some(class) => Name::new(&class.node),
        None => Name::new(&format!("{device}.{}", lock.name.node)),
    }
}

/// The name a sync point has when it is reached: a lock's is its class.
fn sync_point(scenario: &Scenario, point: &str) -> Name {
    let lock = point.split_once('.').and_then(|(device, name)| {
        let found = scenario.devices.iter().find(|d| d.name.node == device)?;
        match &found.body {
            DeviceBody::Inline(inline) => inline.locks.iter().find(|l| l.name.node == name),
            DeviceBody::Named(_) => None,
        }
        .map(|lock| lock_class(device, lock))
    });
    lock.unwrap_or_else(|| Name::new(point))
}

fn user_point(name: &str) -> Name {
    Name::new(&format!("user.{name}"))
}

fn option_text(value: &OptionValue) -> String {
    match value {
        OptionValue::Number(n) => n.to_string(),
        OptionValue::Word(text) | OptionValue::Text(text) => text.clone(),
    }
}
