//! Drivers written in a scenario, executed step by step on the same device and traits as those written in Rust.
//!
//! The part that is subscribed ([`Callbacks`]) owns the device and the locks, and knows the mm only weakly: a callback
//! has no business there, but a scenario may try, since finding that is the product.

use crate::compile::{DriverStep, InlineSpec, Step};
use crate::devices::DeviceLock;
use crate::task::alloc;
use driver_model::{Args, Device, Driver, DriverLock, OpInfo, Via};
use ksync::{Kernel, current};
use mm::device::{self, HmmError};
use mm::{Mm, Scan, ShrinkControl, Shrinker, ShrinkerHandle};
use mm_types::{Errno, Gfp, MmId, Name, PageRange, Pfn, Vpn};
use mmu_notifier::{Hooks, IntervalNotifier, IntervalSub, ListSub, Notifier, Subscriptions, WouldBlock};
use parking_lot::Mutex;
use scenario::ast::{Callback, InlineKind, RangeExpr};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use trace::{AccessModel, DevId, NotifyRange};

/// How often a `retry` starts over before it gives up with `EBUSY`.
const RETRIES: u32 = 64;

/// An inline driver.
pub(crate) struct InlineDriver {
    callbacks: Arc<Callbacks>,
    mm: Arc<Mm>,
    pages: PageRange,
    sub: Mutex<Option<Sub>>,
    shrinker: Mutex<Option<ShrinkerHandle>>,
}

enum Sub {
    Interval(Arc<IntervalSub>),
    List(ListSub),
}

/// What is subscribed.
struct Callbacks {
    spec: Arc<InlineSpec>,
    device: Arc<Device>,
    locks: Vec<DeviceLock>,
    mm: Weak<Mm>,
    mm_id: MmId,
    pages: PageRange,
    /// Pages pinned by `pin` and not given back yet.
    pinned: Mutex<BTreeMap<Vpn, Pfn>>,
}

/// What a body runs with.
struct Cx<'a> {
    /// The `range` of the handler or operation.
    argument: PageRange,
    mm: MmId,
    blockable: bool,
    /// The subscription, for an interval driver.
    interval: Option<&'a IntervalSub>,
    /// What translations are published under; none in a callback.
    via: Option<Via>,
    /// The sequence passed to `invalidate`.
    cur_seq: Option<u64>,
    /// From `read_begin`.
    seq: Option<u64>,
    /// From `fault` or `pin`: page, frame, writable.
    found: Vec<(Vpn, Pfn, bool)>,
}

/// Where execution goes after a step.
#[derive(PartialEq, Eq)]
enum Flow {
    Next,
    /// To the beginning of the enclosing `retry`.
    StartOver,
    /// Out of the callback: it would block.
    Refused,
}

impl InlineDriver {
    pub(crate) fn new(
        k: &Kernel,
        dev: DevId,
        name: Name,
        mm: &Arc<Mm>,
        pages: PageRange,
        spec: Arc<InlineSpec>,
        locks: Vec<DeviceLock>,
    ) -> InlineDriver {
        let device = Device::new(k, dev, name, Arc::clone(mm.machine()));
        let (of, mm_id) = (Arc::downgrade(mm), mm.id());
        let callbacks = Callbacks { spec, device, locks, mm: of, mm_id, pages, pinned: Mutex::default() };
        let (sub, shrinker) = (Mutex::new(None), Mutex::new(None));
        InlineDriver { callbacks: Arc::new(callbacks), mm: mm.clone(), pages, sub, shrinker }
    }

    fn body(&self, op: &str) -> Option<&[Step<DriverStep>]> {
        self.callbacks.spec.operations.iter().find(|(name, _)| name == op).map(|(_, body)| body.as_slice())
    }

    /// Runs `f` with what an operation has at hand.
    fn with_cx(&self, pages: Option<PageRange>, f: impl FnOnce(&mut Cx<'_>) -> Result<(), Errno>) -> Result<(), Errno> {
        let (interval, via) = match self.sub.lock().as_ref() {
            Some(Sub::Interval(sub)) => (Some(sub.clone()), Via::interval(self.mm.subscriptions(), sub)),
            Some(Sub::List(sub)) => (None, Via::list(self.mm.subscriptions(), sub)),
            None => return Err(Errno::ENODEV),
        };
        f(&mut Cx {
            argument: pages.unwrap_or(self.pages),
            mm: self.mm.id(),
            blockable: true,
            interval: interval.as_deref(),
            via: Some(via),
            cur_seq: None,
            seq: None,
            found: Vec::new(),
        })
    }

    /// The `map` every inline driver has: by the collision-retry protocol for an interval driver, by looking pages up for
    /// a list driver; under no lock of the driver, so only right when the caller holds one.
    fn map(&self, pages: PageRange) -> Result<(), Errno> {
        let all: &[DriverStep] = &[
            DriverStep::ReadBegin,
            DriverStep::Fault(RangeExpr::Argument),
            DriverStep::CheckRetry,
            DriverStep::Map(RangeExpr::Argument),
        ];
        let steps = if self.callbacks.spec.kind == InlineKind::Interval { all } else { &[] };
        if steps.is_empty() {
            return self.with_cx(Some(pages), |cx| {
                self.callbacks.look_up(cx, pages)?;
                self.callbacks.publish(cx, pages)
            });
        }
        self.with_cx(Some(pages), |cx| {
            for _ in 0..RETRIES {
                let mut flow = Flow::Next;
                for step in steps {
                    flow = self.callbacks.step(cx, step)?;
                    if flow != Flow::Next {
                        break;
                    }
                }
                if flow == Flow::Next {
                    return Ok(());
                }
            }
            Err(Errno::EBUSY)
        })
    }

    /// Those with `on shrink` have a shrinker while they are attached.
    fn register_shrinker(&self) -> Result<(), Errno> {
        if self.callbacks.handler(Callback::Shrink).is_some() {
            let handle = device::shrinker_alloc(self.mm.machine(), self.callbacks.clone())?;
            device::shrinker_register(self.mm.machine(), &handle);
            *self.shrinker.lock() = Some(handle);
        }
        Ok(())
    }

    fn access(&self, args: &Args, write: bool) -> Result<(), Errno> {
        let (device, mm) = (&self.callbacks.device, self.mm.id());
        for vpn in args.need_pages()?.iter() {
            let done = if write { device.write(mm, vpn, args.value) } else { device.read(mm, vpn).map(drop) };
            done.map_err(|_fault| Errno::EFAULT)?;
        }
        Ok(())
    }
}

const OPS: &[OpInfo] = &[
    OpInfo { name: "map", args: "RANGE", doc: "faults the pages in and publishes them, under no lock of the driver" },
    OpInfo { name: "zap", args: "RANGE", doc: "takes the device's translations away" },
    OpInfo { name: "read", args: "ADDR", doc: "the device reads; without a translation EFAULT" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "the device writes; without a translation EFAULT" },
    OpInfo { name: "flush", args: "", doc: "flushes the device's TLB" },
];

impl Driver for InlineDriver {
    fn name(&self) -> Name {
        self.callbacks.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.callbacks.device
    }

    fn attach(&self) -> Result<(), Errno> {
        let sub = match self.callbacks.spec.kind {
            InlineKind::Interval => {
                Sub::Interval(Subscriptions::interval_insert(&*self.mm, self.pages, self.callbacks.clone())?)
            }
            InlineKind::List => Sub::List(Subscriptions::register(&*self.mm, self.callbacks.clone())?),
        };
        *self.sub.lock() = Some(sub);
        self.register_shrinker().inspect_err(|_| self.detach())
    }

    fn detach(&self) {
        let Some(sub) = self.sub.lock().take() else { return };
        let shrinker = self.shrinker.lock().take();
        if let Some(shrinker) = shrinker {
            device::shrinker_free(self.mm.machine(), shrinker);
        }
        self.callbacks.device.zap(self.mm.id(), self.pages);
        self.callbacks.unpin(self.pages);
        match sub {
            Sub::Interval(sub) => Subscriptions::interval_remove(&*self.mm, &sub),
            Sub::List(sub) => Subscriptions::unregister(&*self.mm, sub),
        }
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        if let Some(body) = self.body(op.as_str()) {
            return self.with_cx(args.pages, |cx| match self.callbacks.run(cx, body)? {
                Flow::Next => Ok(()),
                Flow::StartOver => Err(Errno::EBUSY),
                Flow::Refused => Err(Errno::EAGAIN),
            });
        }
        match op.as_str() {
            "map" => self.map(args.need_pages()?),
            "zap" => {
                self.callbacks.device.zap(self.mm.id(), args.need_pages()?);
                Ok(())
            }
            "read" => self.access(args, false),
            "write" => self.access(args, true),
            // What a device of this model caches changes with its table.
            "flush" => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[]
    }
}

impl Callbacks {
    fn handler(&self, callback: Callback) -> Option<&[Step<DriverStep>]> {
        self.spec.handlers.iter().find(|(c, _)| *c == callback).map(|(_, body)| body.as_slice())
    }

    /// Runs a handler; false if it refused. What fails in it has no one to be told to: a callback returns nothing else.
    fn handle(&self, callback: Callback, cx: &mut Cx<'_>) -> bool {
        match self.handler(callback) {
            Some(body) => !matches!(self.run(cx, body), Ok(Flow::Refused)),
            None => true,
        }
    }

    fn run(&self, cx: &mut Cx<'_>, body: &[Step<DriverStep>]) -> Result<Flow, Errno> {
        for step in body {
            let before = current(|k| k.set_frame(Some(step.frame)));
            let flow = self.step(cx, &step.what);
            current(|k| k.restore_frame(before));
            match flow? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn step(&self, cx: &mut Cx<'_>, step: &DriverStep) -> Result<Flow, Errno> {
        match step {
            DriverStep::With { lock, mode, body } => return self.locks[*lock].with(*mode, || self.run(cx, body)),
            DriverStep::Zap(range) => {
                self.device.zap(cx.mm, pages(cx, *range));
            }
            DriverStep::Map(range) => self.publish(cx, pages(cx, *range))?,
            DriverStep::Alloc { nr_pages, gfp } => alloc(*gfp, *nr_pages).map_err(|_| Errno::ENOMEM)?,
            DriverStep::Sleep => current(|k| k.might_sleep_at(self.device.name())),
            DriverStep::SetSeq => {
                if let (Some(sub), Some(seq)) = (cx.interval, cx.cur_seq) {
                    sub.set_seq(seq);
                }
            }
            DriverStep::ReadBegin => {
                let (mm, sub) = (self.mm()?, cx.interval.ok_or(Errno::EINVAL)?);
                cx.seq = Some(mm.subscriptions().read_begin(sub));
            }
            DriverStep::CheckRetry => {
                let sub = cx.interval.ok_or(Errno::EINVAL)?;
                if sub.read_retry(cx.seq.ok_or(Errno::EINVAL)?) {
                    return Ok(Flow::StartOver);
                }
            }
            DriverStep::Retry(body) => return self.retry(cx, body),
            DriverStep::Fault(range) => return self.fault(cx, pages(cx, *range)),
            DriverStep::Pin(range) => self.pin(cx, pages(cx, *range))?,
            DriverStep::Unpin(range) => self.unpin(pages(cx, *range)),
            DriverStep::Refuse if !cx.blockable => return Ok(Flow::Refused),
            DriverStep::IfBlockable { then, otherwise } => {
                return self.run(cx, if cx.blockable { then } else { otherwise });
            }
            DriverStep::Sync { name } => current(|k| k.sync_point(*name)),
            // What a device of this model caches changes with its table.
            DriverStep::Refuse | DriverStep::Flush => {}
        }
        Ok(Flow::Next)
    }

    fn retry(&self, cx: &mut Cx<'_>, body: &[Step<DriverStep>]) -> Result<Flow, Errno> {
        for _ in 0..RETRIES {
            match self.run(cx, body)? {
                Flow::StartOver => {}
                other => return Ok(other),
            }
        }
        Err(Errno::EBUSY)
    }

    fn mm(&self) -> Result<Arc<Mm>, Errno> {
        self.mm.upgrade().ok_or(Errno::EFAULT)
    }

    /// `hmm_range_fault`, for writing where the mapping allows it. A collision starts the enclosing `retry` over.
    fn fault(&self, cx: &mut Cx<'_>, range: PageRange) -> Result<Flow, Errno> {
        let (mm, sub) = (self.mm()?, cx.interval.ok_or(Errno::EINVAL)?);
        let seq = cx.seq.ok_or(Errno::EINVAL)?;
        match device::hmm_range_fault(&mm, sub, seq, range, may_write(&mm, range)) {
            Ok(found) => {
                cx.found = found.iter().map(|p| (p.vpn, p.pfn, p.writable)).collect();
                Ok(Flow::Next)
            }
            Err(HmmError::Busy) => Ok(Flow::StartOver),
            Err(HmmError::Errno(errno)) => Err(errno),
        }
    }

    fn pin(&self, cx: &mut Cx<'_>, range: PageRange) -> Result<(), Errno> {
        let mm = self.mm()?;
        let write = may_write(&mm, range);
        let frames = device::pin_user_pages(&mm, range, write)?;
        cx.found = range.iter().zip(&frames).map(|(vpn, pfn)| (vpn, *pfn, write)).collect();
        for (vpn, pfn) in range.iter().zip(frames) {
            if let Some(before) = self.pinned.lock().insert(vpn, pfn) {
                device::unpin_user_page(mm.machine(), before);
            }
        }
        Ok(())
    }

    fn unpin(&self, range: PageRange) {
        let held: Vec<Vpn> = self.pinned.lock().range(range.start()..range.end()).map(|(vpn, _)| *vpn).collect();
        for vpn in held {
            let pfn = self.pinned.lock().remove(&vpn);
            if let Some(pfn) = pfn {
                device::unpin_user_page(self.device.machine(), pfn);
            }
        }
    }

    /// `get_user_pages` and the references dropped at once: what a list driver without pins does.
    fn look_up(&self, cx: &mut Cx<'_>, range: PageRange) -> Result<(), Errno> {
        let mm = self.mm()?;
        let write = may_write(&mm, range);
        let frames = device::get_user_pages(&mm, range, write)?;
        cx.found = range.iter().zip(&frames).map(|(vpn, pfn)| (vpn, *pfn, write)).collect();
        for pfn in frames {
            device::put_user_page(mm.machine(), pfn);
        }
        Ok(())
    }

    fn publish(&self, cx: &Cx<'_>, range: PageRange) -> Result<(), Errno> {
        let via = cx.via.ok_or(Errno::EINVAL)?;
        let known = cx.found.iter().filter(|(vpn, ..)| range.contains(*vpn));
        let mut published = 0;
        for (vpn, pfn, writable) in known {
            self.device.set(via, *vpn, *pfn, *writable);
            published += 1;
        }
        // Nothing was looked up before: there is nothing to publish.
        if published == 0 { Err(Errno::EINVAL) } else { Ok(()) }
    }

    fn uses_pins(body: &[Step<DriverStep>]) -> bool {
        body.iter().any(|step| match &step.what {
            DriverStep::Pin(_) => true,
            DriverStep::With { body, .. } | DriverStep::Retry(body) => Callbacks::uses_pins(body),
            DriverStep::IfBlockable { then, otherwise } => {
                Callbacks::uses_pins(then) || Callbacks::uses_pins(otherwise)
            }
            _ => false,
        })
    }

    fn access_model(&self) -> AccessModel {
        let bodies = self.spec.operations.iter().map(|(_, body)| body);
        if bodies.into_iter().any(|body| Callbacks::uses_pins(body)) {
            AccessModel::PinUntilInvalidate
        } else {
            AccessModel::Mirror
        }
    }

    fn list_cx(range: &NotifyRange) -> Cx<'static> {
        Cx {
            argument: range.pages,
            mm: range.mm,
            blockable: range.blockable,
            interval: None,
            via: None,
            cur_seq: None,
            seq: None,
            found: Vec::new(),
        }
    }
}

fn pages(cx: &Cx<'_>, range: RangeExpr) -> PageRange {
    match range {
        RangeExpr::Argument => cx.argument,
        RangeExpr::Pages(pages) => pages,
    }
}

/// Whether every page of `range` may be written now. Read without `mmap_lock`: the fault checks again.
fn may_write(mm: &Mm, range: PageRange) -> bool {
    range.iter().all(|vpn| mm.find_vma(vpn).is_some_and(|vma| vma.flags().contains(mm_types::VmFlags::WRITE)))
}

impl IntervalNotifier for Callbacks {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        self.access_model()
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        let argument = range.pages.intersect(sub.pages()).unwrap_or(range.pages);
        let mut cx = Cx { argument, interval: Some(sub), cur_seq: Some(cur_seq), ..Callbacks::list_cx(range) };
        self.handle(Callback::Invalidate, &mut cx)
    }
}

impl Notifier for Callbacks {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        self.access_model()
    }

    fn hooks(&self) -> Hooks {
        // A start without a handler is called and does nothing: who uses translations has to be told when they go.
        self.spec.handlers.iter().fold(Hooks::RANGE_START, |all, (callback, _)| {
            all | match callback {
                Callback::Start => Hooks::RANGE_START,
                Callback::End => Hooks::RANGE_END,
                Callback::Release => Hooks::RELEASE,
                Callback::Invalidate | Callback::Shrink => Hooks::empty(),
            }
        })
    }

    fn release(&self, mm: MmId) {
        let argument = PageRange::ALL;
        let all = NotifyRange { mm, pages: argument, event: trace::NotifyEvent::Release, blockable: true, owner: None };
        self.handle(Callback::Release, &mut Callbacks::list_cx(&all));
    }

    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        if self.handle(Callback::Start, &mut Callbacks::list_cx(range)) { Ok(()) } else { Err(WouldBlock) }
    }

    fn invalidate_range_end(&self, range: &NotifyRange) {
        self.handle(Callback::End, &mut Callbacks::list_cx(range));
    }
}

impl Shrinker for Callbacks {
    fn name(&self) -> Name {
        self.device.name()
    }

    /// One object, which has everything: so that each time that reclaim means it, the handler is called once.
    fn count_objects(&self, _: &ShrinkControl) -> u64 {
        1
    }

    /// What the handler cannot be told otherwise: an allocation that must not call into file systems is one that must not block.
    fn scan_objects(&self, control: &mut ShrinkControl) -> Scan {
        let blockable = control.gfp.contains(Gfp::FS);
        let all = Cx {
            argument: self.pages,
            mm: self.mm_id,
            blockable,
            interval: None,
            via: None,
            cur_seq: None,
            seq: None,
            found: Vec::new(),
        };
        if self.handle(Callback::Shrink, &mut { all }) { Scan::Freed(1) } else { Scan::Stop }
    }
}
