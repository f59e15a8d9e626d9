//! A case in the words of one driver: its operations in the place of the roles that cases are written with.

use super::cases::Case;
use driver_model::{DriverKind, OpInfo};
use mm_types::PAGE_SIZE;

/// Bound on calls that one line becomes: cases map less.
const MOST_PAGES: u64 = 1 << 10;

/// How the cases' words are said to one driver.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    driver: &'static str,
    whole_mm: bool,
    roles: Vec<(&'static str, Option<OpInfo>)>,
}

/// `gpu0.map 0x1000..0x2000 7`, taken apart.
struct Call<'l> {
    indent: &'l str,
    device: &'l str,
    role: &'l str,
    pages: Option<(u64, u64)>,
    value: Option<&'l str>,
}

impl Dialect {
    /// The driver's.
    ///
    /// # Errors
    /// One line, if its roles name an operation that it has not.
    pub(super) fn of(kind: &DriverKind) -> Result<Dialect, String> {
        let find = |(role, named): (&'static str, Option<&'static str>)| match named {
            None => Ok((role, None)),
            Some(name) => match kind.ops.iter().find(|op| op.name == name) {
                Some(op) => Ok((role, Some(*op))),
                None => Err(format!("`{}` says that its operation `{name}` does `{role}`, and has none", kind.name)),
            },
        };
        let roles = kind.roles.all().into_iter().map(find).collect::<Result<_, _>>()?;
        Ok(Dialect { driver: kind.name, whole_mm: kind.whole_mm, roles })
    }

    fn op(&self, role: &str) -> Option<&OpInfo> {
        self.roles.iter().find(|(name, _)| *name == role)?.1.as_ref()
    }

    /// The roles that a case calls and the driver has no operation for, in the order in which roles are listed.
    pub(super) fn missing(&self, case: &Case) -> Vec<&'static str> {
        let called: Vec<&str> = case.text.lines().filter_map(|line| Some(Call::of(line)?.role)).collect();
        let lacks = self.roles.iter().filter(|(role, op)| op.is_none() && called.contains(role));
        lacks.map(|(role, _)| *role).collect()
    }

    /// The scenario of a case. Lines that call what the driver has not are left out.
    pub(super) fn scenario(&self, case: &Case) -> String {
        let lines = case.text.lines().flat_map(|line| self.lines(line));
        lines.flat_map(|line| [line, "\n".to_owned()]).collect()
    }

    /// What a line of a case becomes.
    fn lines(&self, line: &str) -> Vec<String> {
        match Call::of(line) {
            Some(call) => self.op(call.role).map_or_else(Vec::new, |op| call.said(op)),
            None => vec![self.device(line)],
        }
    }

    fn device(&self, line: &str) -> String {
        let Some((device, rest)) = line.split_once(": interval_mirror(") else { return line.to_owned() };
        match rest.split_once(',') {
            Some((mm, _)) if self.whole_mm => format!("{device}: {}({mm})", self.driver),
            _ => format!("{device}: {}({rest}", self.driver),
        }
    }

    /// The role and the arguments that say to the reference driver what a call of this driver's says, if it is one.
    pub(super) fn by_role(&self, line: &str) -> Option<String> {
        let call = Call::of(line)?;
        let fits = |(_, op): &&(&'static str, Option<OpInfo>)| op.is_some_and(|op| op.name == call.role);
        let takes_range = self.roles.iter().find(fits)?.1.is_some_and(|op| takes(&op, "RANGE"));
        // One operation may have several roles: that of a range maps it, that of an address accesses it.
        let mut all: Box<dyn Iterator<Item = _>> = Box::new(self.roles.iter());
        if !takes_range {
            all = Box::new(self.roles.iter().rev());
        }
        let (role, _) = all.find(fits)?;
        let of_range = ["map", "map_write", "unmap"].contains(role);
        let op = OpInfo { name: role, args: if of_range { "RANGE" } else { "ADDR VALUE" }, doc: "" };
        Some(call.said(&op).join("\n"))
    }
}

/// Whether an operation takes an argument of this kind.
fn takes(op: &OpInfo, kind: &str) -> bool {
    op.args.split_whitespace().any(|word| word.trim_matches(['[', ']']) == kind)
}

impl<'l> Call<'l> {
    fn of(line: &'l str) -> Option<Call<'l>> {
        let body = line.trim_start();
        let indent = &line[..line.len() - body.len()];
        let mut words = body.split_whitespace();
        let (device, role) = words.next()?.split_once('.')?;
        if !device.starts_with("gpu") {
            return None;
        }
        let pages = words.next().and_then(pages);
        Some(Call { indent, device, role, pages, value: words.next() })
    }

    /// The lines that call `op` with this.
    fn said(&self, op: &OpInfo) -> Vec<String> {
        let value = self.value.filter(|_| takes(op, "VALUE")).map_or_else(String::new, |value| format!(" {value}"));
        let line = |pages: String| format!("{}{}.{}{pages}{value}", self.indent, self.device, op.name);
        match self.pages {
            Some((start, end)) if takes(op, "RANGE") => vec![line(format!(" {start:#x}..{end:#x}"))],
            Some((start, end)) if takes(op, "ADDR") => {
                let last = end.min(start + MOST_PAGES * PAGE_SIZE);
                (start..last).step_by(PAGE_SIZE as usize).map(|addr| line(format!(" {addr:#x}"))).collect()
            }
            _ => vec![line(String::new())],
        }
    }
}

/// `0x1000..0x2000`, or the page of `0x1000`.
fn pages(word: &str) -> Option<(u64, u64)> {
    let number = |word: &str| match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    };
    match word.split_once("..") {
        Some((start, end)) => Some((number(start)?, number(end)?)),
        None => number(word).map(|start| (start, start.saturating_add(PAGE_SIZE))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    fn dialect(driver: &str) -> Dialect {
        Dialect::of(Registry::builtin().get(driver).expect("built in")).expect("its roles are operations")
    }

    #[track_caller]
    fn check(driver: &str, line: &str, expect: &[&str]) {
        assert_eq!(dialect(driver).lines(line), expect, "{driver}: {line}");
    }

    #[test]
    fn a_call_is_said_with_what_the_operation_takes() {
        check("interval_mirror", "    gpu0.map 0x1000..0x3000", &["    gpu0.map 0x1000..0x3000"]);
        check("i915_userptr", "gpu1.map_write 0x1000..0x3000", &["gpu1.get_pages 0x1000..0x3000"]);
        check("kvm", "    gpu0.map 0x1000..0x3000", &["    gpu0.read 0x1000", "    gpu0.read 0x2000"]);
        check("hfi1_cache", "gpu0.write 0x1000 7", &["gpu0.receive 0x1000..0x2000 7"]);
        check("sgx_encl", "gpu0.read 0x1000", &["gpu0.enter"]);
        check("kvm", "gpu0.unmap 0x1000..0x2000", &[]);
    }

    #[test]
    fn other_lines_stay_but_for_the_driver_and_what_it_hears_of() {
        check("kvm", "    munmap A 0x1000..0x2000", &["    munmap A 0x1000..0x2000"]);
        check("kvm", "device gpu0 : interval_mirror(A, 0x1..0x2)", &["device gpu0 : kvm(A, 0x1..0x2)"]);
        check("recorder", "device gpu0 : interval_mirror(A, 0x1..0x2)", &["device gpu0 : recorder(A)"]);
    }

    #[test]
    fn what_is_said_to_a_driver_can_be_said_to_the_one_of_reference() {
        let back = |driver, line| dialect(driver).by_role(line);
        assert_eq!(back("hfi1_cache", "gpu0.send 0x1000..0x3000").as_deref(), Some("gpu0.map 0x1000..0x3000"));
        assert_eq!(back("kvm", "gpu0.write 0x1000 7").as_deref(), Some("gpu0.write 0x1000 7"));
        assert_eq!(back("xe_userptr", "  gpu0.exec 0x1000..0x2000").as_deref(), Some("  gpu0.write 0x1000"));
        assert_eq!(back("kvm", "gpu0.add_slot"), None);
    }

    #[test]
    fn roles_that_are_no_operations_are_refused() {
        let mut kind = *Registry::builtin().get("kvm").expect("built in");
        kind.roles.unmap = Some("forget");
        assert_eq!(
            Dialect::of(&kind).err().as_deref(),
            Some("`kvm` says that its operation `forget` does `unmap`, and has none")
        );
    }
}
