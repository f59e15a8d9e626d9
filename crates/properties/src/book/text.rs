//! The names and lines that findings are made of.

use super::{Book, Calls, Facts, Stamp, Sub, Told};
use mm_types::{MmId, TaskId, Vpn};
use std::fmt::Write as _;
use trace::{DevId, SubId};

impl Book {
    pub(crate) fn task_name(&self, id: TaskId) -> String {
        match self.task(id).and_then(|t| t.name) {
            Some(name) => name.as_str().to_owned(),
            None if id == TaskId(0) => "setup".to_owned(),
            None => id.to_string(),
        }
    }

    pub(crate) fn mm_name(&self, id: MmId) -> String {
        self.mms.get(id).and_then(|m| m.name).map_or_else(|| id.to_string(), |n| n.as_str().to_owned())
    }

    pub(crate) fn dev_name(&self, id: DevId) -> String {
        self.devices.get(&id).map_or_else(|| format!("d{}", id.0), |n| n.as_str().to_owned())
    }

    pub(crate) fn sub_name(&self, id: SubId) -> String {
        self.subs.get(id).map_or_else(|| id.to_string(), |s| s.name.as_str().to_owned())
    }

    /// `page 0x10000 of A`.
    pub(crate) fn page(&self, mm: MmId, vpn: Vpn) -> String {
        format!("page {} of {}", vpn.addr(), self.mm_name(mm))
    }

    /// `munmap [0x10000, 0x12000) by task unmap`.
    pub(crate) fn call(&self, calls: &Calls, task: TaskId) -> String {
        let mut text = String::new();
        for call in calls {
            if !text.is_empty() {
                text.push_str(" > ");
            }
            text.push_str(call.name.as_str());
            if let Some(pages) = call.pages {
                let _ = write!(text, " {pages}");
            }
        }
        if text.is_empty() {
            text.push_str("no call");
        }
        let _ = write!(text, " by task {}", self.task_name(task));
        text
    }

    /// One event as a line: `step task  what`, as the text log has it.
    pub(crate) fn line(&self, stamp: Stamp, what: impl std::fmt::Display) -> String {
        format!("{:>6} {:<12} {what}", stamp.step, self.task_name(stamp.task))
    }

    pub(crate) fn range_start_line(&self, b: &Facts) -> String {
        let what = format!("range_start {} {} {}", self.mm_name(b.range.mm), b.range.event, b.range.pages);
        self.line(b.opened, format_args!("{what}, during {}", self.call(&b.calls, b.opened.task)))
    }

    /// The line of a callback's return.
    pub(crate) fn told_line(&self, sub: &Sub, told: &Told) -> String {
        let at = told.exit.unwrap_or(told.enter);
        let how = if told.ok { "returned" } else { "refused" };
        self.line(at, format_args!("{} of {} {how}", told.hook, sub.name))
    }
}
