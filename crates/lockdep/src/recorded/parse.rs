//! From a line of JSON to a [`Case`].

use core::fmt;

use serde_json::Value;

use super::case::{Case, Expect, Gfp, LockDecl, Noticed, Object, Op, Poke, RcuFlavour, WwRet};
use crate::acquire::{Acquire, Read};
use crate::class::{Class, ClassSpec, LockType, WaitType};

/// Why a line cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Where, such as `ops[3].lock`; empty for the line as a whole.
    pub field: String,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.problem),
            field => write!(f, "{field}: {}", self.problem),
        }
    }
}

impl core::error::Error for BadLine {}

type Parsed<T> = Result<T, BadLine>;

fn bad<T>(field: &str, problem: impl Into<String>) -> Parsed<T> {
    Err(BadLine { field: field.to_owned(), problem: problem.into() })
}

/// One field of an object, with the way to it for messages.
#[derive(Clone, Copy)]
struct At<'v> {
    value: &'v Value,
    path: &'v str,
}

impl<'v> At<'v> {
    fn name(self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn wrong<T>(self, key: &str, wanted: &str) -> Parsed<T> {
        match self.value.get(key) {
            None => bad(&self.name(key), format!("missing; {wanted} is wanted")),
            Some(value) => bad(&self.name(key), format!("{value} found where {wanted} is wanted")),
        }
    }

    fn text(self, key: &str) -> Parsed<&'v str> {
        match self.value.get(key).and_then(Value::as_str) {
            Some(text) => Ok(text),
            None => self.wrong(key, "a string"),
        }
    }

    fn optional_text(self, key: &str) -> Parsed<Option<&'v str>> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(key).map(Some),
        }
    }

    fn int(self, key: &str) -> Parsed<i64> {
        match self.value.get(key).and_then(Value::as_i64) {
            Some(n) => Ok(n),
            None => self.wrong(key, "an integer"),
        }
    }

    fn flag(self, key: &str, default: Option<bool>) -> Parsed<bool> {
        match (self.value.get(key), default) {
            (None, Some(default)) => Ok(default),
            (Some(Value::Bool(flag)), _) => Ok(*flag),
            _ => self.wrong(key, "true or false"),
        }
    }

    fn one_of<T: Copy>(self, key: &str, n: i64, choices: &[T]) -> Parsed<T> {
        match usize::try_from(n).ok().and_then(|n| choices.get(n)) {
            Some(choice) => Ok(*choice),
            None => self.wrong(key, &format!("a number from 0 to {}", choices.len() - 1)),
        }
    }
}

const WAITS: [WaitType; 5] = [WaitType::Unchecked, WaitType::Free, WaitType::Spin, WaitType::Config, WaitType::Sleep];
const READS: [Read; 3] = [Read::Exclusive, Read::Shared, Read::Recursive];

impl Case {
    /// Reads one line.
    ///
    /// # Errors
    /// The first field that is missing or is not what it should be.
    pub fn parse(line: &str) -> Parsed<Self> {
        match serde_json::from_str(line) {
            Ok(value) => Self::from_value(&value),
            Err(error) => bad("", format!("not JSON: {error}")),
        }
    }

    /// Reads one line that is JSON already.
    ///
    /// # Errors
    /// As [`Case::parse`].
    pub fn from_value(value: &Value) -> Parsed<Self> {
        let line = At { value, path: "" };
        if !value.is_object() {
            return bad("", "not a JSON object");
        }
        let id = match value.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(id) => id.to_string(),
            None => String::new(),
        };
        let mut reader = Reader {
            value,
            fuzz: value.get("classes").is_some(),
            case: Case {
                id,
                classes: Vec::new(),
                locks: Vec::new(),
                ops: Vec::new(),
                expect: expect(line, "report")?,
                kernel: None,
            },
        };
        if value.get("exhaustive_report_at_op").is_some() || value.get("exhaustive_report").is_some() {
            reader.case.kernel = Some(core::mem::replace(&mut reader.case.expect, Expect::Unknown));
            reader.case.expect = expect(line, "exhaustive_report")?;
        }
        let Some(ops) = value.get("ops").and_then(Value::as_array) else {
            return line.wrong("ops", "a list of operations");
        };
        reader.declare(ops)?;
        for (at, op) in ops.iter().enumerate() {
            let path = format!("ops[{at}]");
            let op = reader.op(At { value: op, path: &path })?;
            reader.case.ops.push(op);
        }
        Ok(reader.case)
    }
}

/// `key` and `key_at_op`.
fn expect(line: At<'_>, key: &str) -> Parsed<Expect> {
    match line.value.get(key) {
        None => Ok(Expect::Unknown),
        Some(Value::Null) => Ok(Expect::Silent),
        Some(_) => {
            let (title, at) = (line.text(key)?, format!("{key}_at_op"));
            match usize::try_from(line.int(&at)?) {
                Ok(op) => Ok(Expect::Report(Noticed { title: title.to_owned(), op })),
                Err(_) => line.wrong(&at, "an index"),
            }
        }
    }
}

struct Reader<'v> {
    value: &'v Value,
    fuzz: bool,
    case: Case,
}

impl Reader<'_> {
    /// Finds the instances, each with its class.
    fn declare(&mut self, ops: &[Value]) -> Parsed<()> {
        if self.fuzz {
            for (at, op) in ops.iter().enumerate() {
                let path = format!("ops[{at}]");
                let op = At { value: op, path: &path };
                if op.value.get("class").is_some() {
                    let class = self.fuzz_class(op, 0)?;
                    let object = self.object(op.text("map")?);
                    self.case.locks[object].class.get_or_insert(class);
                }
            }
            return Ok(());
        }
        let Some(locks) = self.value.get("locks").and_then(Value::as_object) else {
            return At { value: self.value, path: "" }.wrong("locks", "an object");
        };
        for (name, lock) in locks {
            let path = format!("locks.{name}");
            let class = self.api_class(At { value: lock, path: &path })?;
            let object = self.object(name);
            self.case.locks[object].class = Some(class);
        }
        Ok(())
    }

    fn object(&mut self, name: &str) -> Object {
        let known = self.case.locks.iter().position(|lock| lock.name == name);
        known.unwrap_or_else(|| {
            self.case.locks.push(LockDecl { name: name.to_owned(), class: None });
            self.case.locks.len() - 1
        })
    }

    fn class(&mut self, spec: &ClassSpec<'_>) -> usize {
        let class = Class::from(spec);
        self.case.classes.iter().position(|known| *known == class).unwrap_or_else(|| {
            self.case.classes.push(class);
            self.case.classes.len() - 1
        })
    }

    fn fuzz_class(&mut self, op: At<'_>, subclass: u8) -> Parsed<usize> {
        let name = op.text("class")?;
        let Some(value) = self.value["classes"].get(name) else {
            return bad(&op.name("class"), format!("no class {name:?} in classes"));
        };
        let path = format!("classes.{name}");
        let class = At { value, path: &path };
        let lock_type = match class.text("lock_type")? {
            "normal" => LockType::Normal,
            "percpu" => LockType::PerCpu,
            "wait_override" => LockType::WaitOverride,
            other => return bad(&class.name("lock_type"), format!("{other:?} is not normal, percpu or wait_override")),
        };
        let spec = ClassSpec::new(name)
            .subclass(subclass)
            .wait(class.one_of("wait_inner", class.int("wait_inner")?, &WAITS)?)
            .wait_outer(class.one_of("wait_outer", class.int("wait_outer")?, &WAITS)?)
            .lock_type(lock_type);
        Ok(self.class(&spec))
    }

    fn api_class(&mut self, lock: At<'_>) -> Parsed<usize> {
        let (wait, lock_type) = match lock.text("kind")? {
            "raw_spinlock" => (WaitType::Spin, LockType::Normal),
            "spinlock" | "rwlock" => (WaitType::Config, LockType::Normal),
            "local_lock" => (WaitType::Config, LockType::PerCpu),
            "mutex" | "rwsem" | "rtmutex" | "ww_mutex" => (WaitType::Sleep, LockType::Normal),
            "ww_acquire_ctx" | "lockdep_map" | "map" => (WaitType::Unchecked, LockType::Normal),
            other => return bad(&lock.name("kind"), format!("no kind of lock is called {other:?}")),
        };
        let spec = ClassSpec::new(lock.text("class")?).wait(wait).lock_type(lock_type);
        Ok(self.class(&spec))
    }

    /// A declared lock and its class.
    fn declared(&mut self, op: At<'_>, key: &str) -> Parsed<(Object, usize)> {
        let name = op.text(key)?;
        match self.case.locks.iter().position(|lock| lock.name == name) {
            Some(object) if let Some(class) = self.case.locks[object].class => Ok((object, class)),
            _ => bad(&op.name(key), format!("no lock {name:?} in locks")),
        }
    }

    fn optional(&mut self, op: At<'_>, key: &str) -> Parsed<Option<Object>> {
        Ok(op.optional_text(key)?.map(|name| self.object(name)))
    }

    fn op(&mut self, op: At<'_>) -> Parsed<Op> {
        Ok(match op.text("op")? {
            "acquire" => self.acquire(op)?,
            "release" => Op::Release { lock: self.object(op.text("map")?) },
            "lock" | "read_lock" | "map_acquire" | "trylock" => self.lock(op)?,
            "unlock" | "read_unlock" => Op::Release { lock: self.declared(op, "lock")?.0 },
            "map_release" => Op::MapRelease { lock: self.declared(op, "lock")?.0 },
            "init" => Op::Init { lock: self.declared(op, "lock")?.0 },
            "hardirq_disable" => Op::HardirqDisable,
            "hardirq_enable" => Op::HardirqEnable,
            "softirq_disable" => Op::SoftirqDisable,
            "softirq_enable" => Op::SoftirqEnable,
            "hardirq_enter" => Op::HardirqEnter,
            "hardirq_exit" => Op::HardirqExit,
            "hardirq_threaded" => Op::HardirqThreaded,
            "softirq_enter" => Op::SoftirqEnter,
            "softirq_exit" => Op::SoftirqExit,
            "rcu_read_lock" => Op::RcuReadLock(RcuFlavour::Plain),
            "rcu_read_lock_bh" => Op::RcuReadLock(RcuFlavour::Bh),
            "rcu_read_lock_sched" => Op::RcuReadLock(RcuFlavour::Sched),
            "rcu_read_unlock" => Op::RcuReadUnlock(RcuFlavour::Plain),
            "rcu_read_unlock_bh" => Op::RcuReadUnlock(RcuFlavour::Bh),
            "rcu_read_unlock_sched" => Op::RcuReadUnlock(RcuFlavour::Sched),
            "fs_reclaim_acquire" => Op::FsReclaimAcquire(gfp(op)?),
            "fs_reclaim_release" => Op::FsReclaimRelease(gfp(op)?),
            "might_alloc" => Op::MightAlloc(gfp(op)?),
            "memalloc_nofs_save" => Op::NofsSave,
            "memalloc_nofs_restore" => Op::NofsRestore,
            "ww_acquire_init" => Op::WwAcquireInit { ctx: self.declared(op, "ctx")?.0, stamp: op.int("stamp")? },
            "ww_acquire_done" => Op::WwAcquireDone { ctx: self.declared(op, "ctx")?.0 },
            "ww_acquire_fini" => Op::WwAcquireFini { ctx: self.declared(op, "ctx")?.0 },
            name @ ("ww_lock" | "ww_lock_slow") => Op::WwLock {
                lock: self.declared(op, "lock")?.0,
                ctx: self.optional(op, "ctx")?,
                ret: ww_ret(op)?,
                slow: name == "ww_lock_slow",
            },
            "ww_trylock" => match op.flag("ret", None)? {
                true => Op::WwTrylock { lock: self.declared(op, "lock")?.0, ctx: self.optional(op, "ctx")? },
                false => Op::Nothing,
            },
            "ww_unlock" => Op::WwUnlock { lock: self.declared(op, "lock")?.0 },
            "ww_poke" => Op::WwPoke { object: self.object(op.text("obj")?), poke: self.poke(op)? },
            other => return bad(&op.name("op"), format!("no operation is called {other:?}")),
        })
    }

    fn acquire(&mut self, op: At<'_>) -> Parsed<Op> {
        let subclass = match u8::try_from(op.int("subclass")?) {
            Ok(subclass) => subclass,
            Err(_) => return op.wrong("subclass", "a small number"),
        };
        let how = Acquire {
            read: op.one_of("read", op.int("read")?, &READS)?,
            trylock: op.flag("trylock", None)?,
            check: op.flag("check", None)?,
        };
        Ok(Op::Acquire {
            lock: self.object(op.text("map")?),
            class: self.fuzz_class(op, subclass)?,
            how,
            nest: self.optional(op, "nest_lock")?,
        })
    }

    fn lock(&mut self, op: At<'_>) -> Parsed<Op> {
        let (lock, class) = self.declared(op, "lock")?;
        let trylock = op.text("op")? == "trylock";
        if trylock && !op.flag("ret", None)? {
            return Ok(Op::Nothing);
        }
        let read = match op.text("op")? {
            "read_lock" if op.flag("recursive", Some(false))? => Read::Recursive,
            "read_lock" => Read::Shared,
            _ => Read::Exclusive,
        };
        let how = Acquire { read, trylock: trylock || op.flag("trylock", Some(false))?, check: true };
        if op.text("op")? == "map_acquire" {
            return Ok(Op::MapAcquire { lock, class, how });
        }
        Ok(Op::Acquire { lock, class, how, nest: self.optional(op, "nest_lock")? })
    }

    fn poke(&mut self, op: At<'_>) -> Parsed<Poke> {
        if let Some(from) = self.optional(op, "copy_from")? {
            return Ok(Poke::CopyFrom(from));
        }
        let set = op.value.get("set");
        Ok(match op.text("field")? {
            "ctx" => Poke::Ctx(self.optional(op, "set")?),
            "contending_lock" => Poke::ContendingLock(self.optional(op, "set")?),
            "stamp" if set.is_none() => Poke::AddStamp(op.int("add")?),
            "stamp" => Poke::Stamp(op.int("set")?),
            "acquired" => match u32::try_from(op.int("set")?) {
                Ok(n) => Poke::Acquired(n),
                Err(_) => return op.wrong("set", "a count"),
            },
            "done_acquire" => {
                Poke::DoneAcquire(!matches!(set, Some(Value::Bool(false))) && set != Some(&Value::from(0)))
            }
            "ww_class" => Poke::WwClass(!matches!(set, None | Some(Value::Null))),
            "wounded" | "is_wait_die" | "task" => Poke::Ignored,
            other => return bad(&op.name("field"), format!("no field {other:?} can be written")),
        })
    }
}

fn gfp(op: At<'_>) -> Parsed<Gfp> {
    Ok(match op.text("gfp")? {
        "GFP_KERNEL" | "GFP_KERNEL_ACCOUNT" | "GFP_USER" | "GFP_HIGHUSER" => Gfp { reclaim: true, fs: true },
        "GFP_NOFS" | "GFP_NOIO" => Gfp { reclaim: true, fs: false },
        "GFP_ATOMIC" | "GFP_NOWAIT" => Gfp { reclaim: false, fs: false },
        other => return bad(&op.name("gfp"), format!("no flags are called {other:?}")),
    })
}

fn ww_ret(op: At<'_>) -> Parsed<WwRet> {
    match op.value.get("ret") {
        Some(Value::Number(n)) if n.as_i64() == Some(0) => Ok(WwRet::Locked),
        Some(Value::String(error)) if error == "EALREADY" => Ok(WwRet::Already),
        Some(Value::String(error)) if ["EDEADLK", "EINTR"].contains(&error.as_str()) => Ok(WwRet::Deadlock),
        _ => op.wrong("ret", "0, \"EALREADY\", \"EDEADLK\" or \"EINTR\""),
    }
}
