//! LIFE: what is kept although it was to be given back.
//!
//! That a driver was told to let go is no event, so no oracle of events can judge it: this looks at the world when a run has
//! finished. It reads only.

use crate::judge::Late;
use crate::world::Live;
use driver_model::Misuse;
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

/// What was done to things that were gone, however the run ended.
fn misused(live: &Live) -> Vec<Finding> {
    let mut found = Vec::new();
    for device in 0..live.code.devices.len() {
        let Ok(attached) = live.device(device) else { continue };
        for Misuse { what, step, task } in attached.driver.device().objects().misuses() {
            let details = vec!["its last reference was given back before".to_owned()];
            found.push(Finding::new(Code::Life, step, Some(task), what, details));
        }
    }
    for mm in 0..live.code.mms.len() {
        let Ok(space) = live.mm(mm) else { continue };
        if let Some((step, task)) = space.used_after_free() {
            let title = format!("the struct of {} is used after it was freed", live.code.mms[mm].name);
            found.push(Finding::new(
                Code::Life,
                step,
                Some(task),
                title,
                vec!["its last mmdrop() came before".to_owned()],
            ));
        }
        if let Some((step, task)) = space.walked_after_exit() {
            let title = format!("the VMAs of {} are walked after its exit took them apart", live.code.mms[mm].name);
            let why = "the walker had mmap_lock, and did not ask again whether the address space has users".to_owned();
            found.push(Finding::new(Code::Life, step, Some(task), title, vec![why]));
        }
    }
    for Late { name, step, task } in live.counted(|counts| counts.late.clone()) {
        let title = format!("{name} subscribes to an address space whose last user has left");
        let why = "nobody will tell it of the release, which was before".to_owned();
        found.push(Finding::new(Code::Life, step, Some(task), title, vec![why]));
    }
    found
}

/// Everything that a finished run left behind.
pub(crate) fn kept(live: &Live, end: &RunEnd, step: u64) -> Vec<Finding> {
    let mut found = misused(live);
    let gone = live.gone.borrow();
    if *end != RunEnd::Finished || gone.devices.is_empty() {
        return found;
    }
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
    for &device in &gone.devices {
        let Ok(attached) = live.device(device) else { continue };
        for (what, n) in attached.driver.device().objects().alive() {
            let title = format!("{} keeps {what} after it was unregistered", attached.driver.name());
            finding(title, vec![format!("{n} in all: a reference was not given back")]);
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
    let held = live.counted(|counts| counts.held_pages);
    let pinned = live.pinned();
    if held > 0 && pinned == 0 && gone.devices.len() == live.code.devices.len() {
        finding("pages are held after every device was unregistered".to_owned(), vec![format!("{held} references")]);
    }
    if pinned > 0 && gone.devices.len() == live.code.devices.len() {
        finding("pages are pinned after every device was unregistered".to_owned(), vec![format!("{pinned} pins")]);
    }
    found
}
