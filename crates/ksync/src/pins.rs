//! `order` pins: "this task passes this sync point before that task reaches that one".
//!
//! Sync points are named places; the acquisition of a lock is one, under the lock's class name. A point is *reached*
//! before its operation and *passed* after it.

use crate::class::ClassIdx;
use crate::kernel::Kernel;
use crate::names::NAMES;
use mm_types::{Name, ObjId};
use sched::{Availability, Op};
use std::cell::{Cell, RefCell};
use std::panic::Location;
use trace::EventKind;

/// One pin: `before` passes its point before `after` gets past reaching its own. Tasks and points by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin {
    /// Task and point that come first.
    pub before: (Name, Name),
    /// Task and point that wait for it.
    pub after: (Name, Name),
}

#[derive(Clone, Copy)]
struct PinState {
    pin: Pin,
    obj: ObjId,
    passed: bool,
}

/// A task at a sync point, as pins see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtPoint {
    /// Which task.
    pub task: Name,
    /// Which point.
    pub point: Name,
    /// Whether it has passed the point; otherwise it has reached it.
    pub passed: bool,
}

#[derive(Default)]
pub(crate) struct Pins {
    active: Cell<bool>,
    list: RefCell<Vec<PinState>>,
    /// What was reached and passed, in order, if anybody wants to know.
    trace: RefCell<Option<Vec<AtPoint>>>,
}

impl Pins {
    pub(crate) fn clear(&self) {
        self.active.set(false);
        self.list.borrow_mut().clear();
        *self.trace.borrow_mut() = None;
    }

    fn note(&self, (task, point): (Name, Name), passed: bool) {
        if let Some(trace) = &mut *self.trace.borrow_mut() {
            trace.push(AtPoint { task, point, passed });
        }
    }

    /// The pins still open on which some task waits: object, pin.
    pub(crate) fn waiting(&self, obj: ObjId) -> Option<Pin> {
        self.list.borrow().iter().find(|p| p.obj == obj).map(|p| p.pin)
    }
}

impl Kernel {
    /// Adds a pin. Pins hold for every run of this kernel until [`Kernel::reset`].
    pub fn add_pin(&self, pin: Pin) {
        let obj = self.new_obj();
        self.pins.list.borrow_mut().push(PinState { pin, obj, passed: false });
        self.pins.active.set(true);
    }

    /// Writes down which tasks reach and pass which sync points, until [`Kernel::reset`].
    pub fn trace_points(&self) {
        *self.pins.trace.borrow_mut() = Some(Vec::new());
        self.pins.active.set(true);
    }

    pub(crate) fn traces_points(&self) -> bool {
        self.pins.active.get() && self.pins.trace.borrow().is_some()
    }

    /// What was written down, in order.
    pub fn traced_points(&self) -> Vec<AtPoint> {
        self.pins.trace.borrow().clone().unwrap_or_default()
    }

    /// A named place whose operation is the place itself: reached and passed.
    pub fn sync_point(&self, name: Name) {
        self.sync_reached(name);
        self.sync_passed(name);
    }

    /// The current task is about to do what `name` names. Waits for the pins that say so.
    #[track_caller]
    pub fn sync_reached(&self, name: Name) {
        self.emit(EventKind::SyncPoint { name });
        if self.pins.active.get() {
            self.hold(name, Location::caller());
        }
    }

    /// The current task has done what `name` names.
    pub fn sync_passed(&self, name: Name) {
        if self.pins.active.get() {
            self.let_go(name);
        }
    }

    #[inline]
    #[track_caller]
    pub(crate) fn pins_reached(&self, class: ClassIdx) {
        if self.pins.active.get()
            && let Some(row) = self.class_row(class)
        {
            self.hold(row.printed, Location::caller());
        }
    }

    #[inline]
    pub(crate) fn pins_passed(&self, class: ClassIdx) {
        if self.pins.active.get()
            && let Some(row) = self.class_row(class)
        {
            self.let_go(row.printed);
        }
    }

    fn hold(&self, point: Name, at: &'static Location<'static>) {
        let me = (self.task_name(self.current_task()), point);
        if !self.quiet() {
            self.pins.note(me, false);
        }
        // A pin is an object that is taken until the other task has passed: this one cannot be chosen before.
        for index in 0.. {
            let Some(pin) = self.pins.list.borrow().get(index).copied() else { return };
            if pin.pin.after == me && !self.quiet() {
                let now = if pin.passed { Availability::FREE } else { Availability::TAKEN };
                self.waits_for(pin.obj, NAMES.order, at);
                self.sched.acquire(Op::take_shared(pin.obj), now);
                self.waits_no_more();
            }
        }
    }

    fn let_go(&self, point: Name) {
        if self.quiet() {
            return;
        }
        let me = (self.task_name(self.current_task()), point);
        self.pins.note(me, true);
        for index in 0.. {
            let Some(pin) = self.pins.list.borrow().get(index).copied() else { return };
            if pin.pin.before == me && !pin.passed {
                self.visible_write(pin.obj);
                self.pins.list.borrow_mut()[index].passed = true;
                self.sched.set_availability(pin.obj, Availability::TAKEN, Availability::FREE);
            }
        }
    }
}
