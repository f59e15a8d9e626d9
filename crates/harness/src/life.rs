//! LIFE: what is kept although it was to be given back.
//!
//! That a driver was told to let go is no event, so no oracle of events can judge it: this looks at the world when a run has
//! finished. It reads only.

use crate::world::Live;
use properties::{Code, Finding};
use std::collections::BTreeSet;
use trace::RunEnd;

/// What went away in a run, by index.
#[derive(Default)]
pub(crate) struct Gone {
    /// Devices whose `unregister` came back, and that were not registered again.
    pub(crate) devices: BTreeSet<usize>,
    /// Address spaces whose last user left.
    pub(crate) mms: BTreeSet<usize>,
}

/// Everything that a finished run left behind.
pub(crate) fn kept(live: &Live, end: &RunEnd, step: u64) -> Vec<Finding> {
    let gone = live.gone.borrow();
    if *end != RunEnd::Finished || gone.devices.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut finding = |title: String, details: Vec<String>| {
        found.push(Finding::new(Code::Life, step, None, title, details));
    };
    for &device in &gone.devices {
        let Ok(attached) = live.device(device) else { continue };
        let driver = &attached.driver;
        let sptes = driver.device().sptes();
        if let Some((mm, vpn, spte)) = sptes.first() {
            let more =
                format!("{} in all; the first is of {} in {mm}, to frame {:#x}", sptes.len(), vpn.addr(), spte.pfn.0);
            let title = format!("{} has translations after it was unregistered", driver.name());
            finding(title, vec![more, "nobody tells the device when these pages go".to_owned()]);
        }
    }
    for &mm in &gone.mms {
        let all_gone = live.code.devices.iter().enumerate().all(|(i, d)| d.mm != mm || gone.devices.contains(&i));
        let Ok(held) = live.mm(mm).map(|mm| mm.count()) else { continue };
        if all_gone && held > 0 {
            let title =
                format!("{} is kept after its exit, and every device of it was unregistered", live.code.mms[mm].name);
            let why = format!("mm_count is {held}: each subscription that was not removed has one");
            finding(
                title,
                vec![why, "a callback through such a subscription is into a driver that is gone".to_owned()],
            );
        }
    }
    let pinned = live.pinned();
    if pinned > 0 && gone.devices.len() == live.code.devices.len() {
        finding("pages are pinned after every device was unregistered".to_owned(), vec![format!("{pinned} pins")]);
    }
    found
}
