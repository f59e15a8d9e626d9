//! Executing a scenario's tasks.

use crate::compile::{Map, Step, TaskSpec, TaskStep};
use crate::devices::{call_args, with_lock};
use crate::globals::{GlobalStep, Held};
use crate::operations;
use crate::request;
use crate::world::{Live, touch};
use ksync::{Kernel, current};
use mm_types::{Gfp, Name, PageRange};
use std::cell::Cell;
use std::rc::Rc;
use trace::{NotifyEvent, NotifyRange};

/// Adds task `index` of the scenario.
pub(crate) fn spawn(k: &Kernel, live: &Rc<Live>, index: usize) {
    let TaskSpec { name, interrupt, .. } = live.code.tasks[index];
    let live = live.clone();
    let body = move || {
        let task = &live.code.tasks[index];
        let held = vec![Cell::new(0); task.registers];
        run(&live, &held, &task.body);
    };
    match interrupt {
        None => k.spawn(name, body),
        Some((what, times)) => k.spawn_interrupt(name, what, times, body),
    };
}

/// Whether a task goes on after a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoesOn,
    Returns,
}

fn run(live: &Live, held: &Held, body: &[Step<TaskStep>]) -> Flow {
    run_times(live, held, body, 1)
}

/// Executes `body` so many times; then the task is again where it was before, in the words of its scenario.
fn run_times(live: &Live, held: &Held, body: &[Step<TaskStep>], times: u32) -> Flow {
    let [first, ..] = body else { return Flow::GoesOn };
    let before = current(|k| k.set_frame(Some(first.frame)));
    let mut flow = Flow::GoesOn;
    for step in (0..times).flat_map(|_| body) {
        flow = run_step(live, held, step);
        if flow == Flow::Returns {
            break;
        }
    }
    current(|k| k.restore_frame(before));
    flow
}

fn run_step(live: &Live, held: &Held, step: &Step<TaskStep>) -> Flow {
    current(|k| {
        if let Some(pulse) = &live.pulse {
            pulse.at(k.current_task(), step.frame);
        }
        k.set_frame(Some(step.frame));
    });
    let mut flow = Flow::GoesOn;
    let done = match &step.what {
        TaskStep::Global(global) => return execute_global(live, held, step.frame, global),
        TaskStep::Repeat { times, body } => return run_times(live, held, body, *times),
        TaskStep::With { device, lock, mode, body } => {
            let device = live.device(*device);
            device.and_then(|device| with_lock(&device, lock, *mode, || flow = run(live, held, body)))
        }
        TaskStep::FileWrite { shared, body } => {
            live.machine().file_write(*shared, || flow = run(live, held, body));
            Ok(())
        }
        TaskStep::Notify { nonblock, mm, pages, body } => {
            notify(live, *nonblock, *mm, *pages, || flow = run(live, held, body))
        }
        what => execute(live, step.frame, what),
    };
    if let Err(why) = done {
        live.note(step.frame, &why);
    }
    flow
}

fn execute_global(live: &Live, held: &Held, frame: Name, step: &GlobalStep) -> Flow {
    match step {
        GlobalStep::With { lock, mode, body } => {
            return live.globals.locks[*lock].with(*mode, || run(live, held, body));
        }
        GlobalStep::If { condition, then, otherwise } => {
            return run(live, held, if condition.holds(held) { then } else { otherwise });
        }
        GlobalStep::Load { register, word, acquire } => live.globals.load(held, *register, *word, *acquire),
        GlobalStep::Store { word, value, release } => live.globals.store(held, *word, *value, *release),
        GlobalStep::Barrier(barrier) => ksync::barrier(*barrier),
        GlobalStep::Add { word, value } => live.globals.add(held, *word, *value),
        GlobalStep::Check { condition, text } if !condition.holds(held) => {
            current(|k| live.failed(k, frame, "check", text))
        }
        GlobalStep::Check { .. } => {}
        GlobalStep::Return => return Flow::Returns,
    }
    Flow::GoesOn
}

fn execute(live: &Live, frame: Name, step: &TaskStep) -> Result<(), String> {
    let failed = |call: &str, errno: mm_types::Errno| format!("{call} failed: {errno}");
    match step {
        TaskStep::Mmap { mm, map } => mmap(live, *mm, map),
        TaskStep::Munmap { mm, pages } => {
            live.mm(*mm)?.munmap(pages.start().addr(), pages.nr_pages() << 12).map_err(|e| failed("munmap", e))
        }
        TaskStep::Mprotect { mm, pages, prot } => live
            .mm(*mm)?
            .mprotect(pages.start().addr(), pages.nr_pages() << 12, *prot)
            .map_err(|e| failed("mprotect", e)),
        TaskStep::Brk { mm, addr } => match live.mm(*mm)?.brk(*addr) {
            // As the system call: a refused request returns the end as it is.
            end if end == *addr => Ok(()),
            end => Err(format!("brk {addr} refused: the heap still ends at {end}")),
        },
        TaskStep::Read { mm, addr } => {
            live.mm(*mm)?.read(*addr).map(drop).map_err(|fault| format!("read {addr}: {fault}"))
        }
        TaskStep::Write { mm, addr, value } => {
            let mm = live.mm(*mm)?;
            // All of a page at its start, else one word.
            let done = if addr.is_page_aligned() { mm.write_page(addr.vpn(), *value) } else { mm.write(*addr, *value) };
            done.map_err(|fault| format!("write {addr}: {fault}"))
        }
        TaskStep::Touch { mm, pages } => {
            touch(&live.mm(*mm)?, *pages).map_err(|(vpn, why)| format!("touch {}: {why}", vpn.addr()))
        }
        TaskStep::Exit { mm } => {
            live.mm(*mm)?.exit();
            live.gone.borrow_mut().mms.insert(*mm);
            Ok(())
        }
        TaskStep::Alloc { nr_pages, gfp } => alloc(*gfp, *nr_pages),
        TaskStep::ReclaimRange { mm, pages } => request::reclaim_range(live, *mm, *pages),
        TaskStep::ReclaimPages { nr_pages } => request::reclaim_pages(live, *nr_pages),
        TaskStep::Compact { mm, pages } => request::compact(live, *mm, *pages),
        TaskStep::Call { device, operation, arguments } => {
            let device = live.device(*device)?;
            let point = operation_point(device.driver.name(), *operation);
            current(|k| k.sync_reached(point));
            live.operates(Some(device.driver.name()));
            let done = device.driver.op(*operation, &call_args(&*device.driver, *operation, arguments));
            live.operates(None);
            current(|k| k.sync_passed(point));
            done.map_err(|e| format!("{point} failed: {e}"))
        }
        TaskStep::Register { device } => {
            live.gone.borrow_mut().devices.remove(device);
            live.device(*device)?.driver.attach().map_err(|e| failed("register", e))
        }
        TaskStep::Unregister { device } => {
            live.device(*device)?.driver.detach();
            live.gone.borrow_mut().devices.insert(*device);
            Ok(())
        }
        TaskStep::Sync { name } => {
            current(|k| k.sync_point(*name));
            Ok(())
        }
        TaskStep::Yield => {
            current(|k| k.visible_read(mm_types::ObjId::NONE));
            Ok(())
        }
        TaskStep::Mark { text } => {
            live.mark(text);
            Ok(())
        }
        TaskStep::Sleep { ms } => {
            current(|k| k.sleep_ns(ms.saturating_mul(1_000_000)));
            Ok(())
        }
        TaskStep::Op { op, operands } => operations::execute(live, frame, *op, operands),
        TaskStep::With { .. }
        | TaskStep::Repeat { .. }
        | TaskStep::Notify { .. }
        | TaskStep::FileWrite { .. }
        | TaskStep::Global(_) => unreachable!("{step:?} has statements in it"),
    }
}

/// `notify [nonblock] MM RANGE { .. }`: as a caller of the notifiers that finds nothing to clear.
fn notify(live: &Live, nonblock: bool, mm: usize, pages: PageRange, body: impl FnOnce()) -> Result<(), String> {
    let mm = live.mm(mm)?;
    let (subs, id) = (mm.subscriptions(), mm.id());
    let range = NotifyRange { mm: id, pages, event: NotifyEvent::Clear, blockable: !nonblock, owner: None };
    let bracket = if nonblock {
        subs.invalidate_range_start_nonblock(range).map_err(|e| format!("notify nonblock {pages}: {e}"))?
    } else {
        subs.invalidate_range_start(range)
    };
    body();
    bracket.end();
    Ok(())
}

fn mmap(live: &Live, mm: usize, map: &Map) -> Result<(), String> {
    let placed = live.mm(mm)?.mmap(&map.args(live.machine()));
    placed.map(drop).map_err(|errno| format!("mmap failed: {errno}"))
}

/// `alloc N GFP` of a task or of an inline driver.
pub(crate) fn alloc(gfp: Gfp, nr_pages: u32) -> Result<(), String> {
    current(|k| k.kmalloc(gfp, nr_pages)).map_err(|e| format!("alloc {nr_pages} {gfp} failed: {e}"))
}

/// A sync point named after a device's operation: `gpu0.get_pages`.
fn operation_point(device: Name, operation: Name) -> Name {
    Name::new(&format!("{device}.{operation}"))
}
