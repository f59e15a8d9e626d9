//! How the cost of announcing grows with subscribers, and that of reclaim with the mappings beside a page.
//!
//! `cargo run --release -p mm --example notifier_growth [PICTURE.svg]`. The picture has both axes logarithmic.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a measurement reads the clock and prints"
)]

use ksync::{Kernel, KernelConfig};
use lockdep::Lockdep;
use mm::{Machine, MachineConfig, Mm};
use mm_types::{Name, PAGE_SIZE, PageRange, Prot, Vpn};
use mmu_notifier::{Annotations, Framework, IntervalNotifier, IntervalSub, MmHost, Subscriptions};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;
use trace::{AccessModel, NotifyEvent, NotifyRange};

const FIRST: Vpn = Vpn(0x10_0000);
const RW: Prot = Prot::READ.union(Prot::WRITE);

struct Quiet;

impl IntervalNotifier for Quiet {
    fn name(&self) -> Name {
        Name::new("quiet")
    }
    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }
    fn invalidate(&self, sub: &IntervalSub, _range: &NotifyRange, cur_seq: u64) -> bool {
        sub.set_seq(cur_seq);
        true
    }
}

fn world(validator: bool) -> (Kernel, Arc<Mm>) {
    let lockdep = validator.then(Lockdep::new);
    let kernel = Kernel::new(KernelConfig { lockdep, ..KernelConfig::default() });
    let mm = kernel.enter(|k| {
        let config = MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() };
        Machine::new(k, config, Framework::new(k, Annotations::default())).new_mm(k, Name::new("a"))
    });
    (kernel, mm)
}

fn pages(start: u64, len: u64) -> PageRange {
    PageRange::with_len(FIRST + start, len).expect("not empty")
}

/// Nanoseconds of one call of `f`, the best of five rounds.
fn nanoseconds(rounds: u64, mut f: impl FnMut(u64)) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        (0..rounds).for_each(&mut f);
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / rounds as f64);
    }
    best
}

/// Start and end of `k` pages beside `n` interval subscribers of one page each.
fn start_and_end(mm: &Mm, n: u64, k: u64, rounds: u64) -> f64 {
    nanoseconds(rounds, |round| {
        // A stride that visits all of the tree.
        let at = (round * 7919) % n.saturating_sub(k).max(1);
        let range = NotifyRange {
            mm: mm.mm_id(),
            pages: pages(at, k),
            event: NotifyEvent::Clear,
            blockable: true,
            owner: None,
        };
        mm.subscriptions().invalidate_range_start(range).end();
    })
}

/// Pages reclaimed in a second, of an address space whose one reverse map has `targets` mappings.
fn reclaim(targets: u64) -> f64 {
    let mut best: f64 = 0.0;
    for _ in 0..3 {
        let (kernel, mm) = world(true);
        kernel.enter(|_| {
            mm.mmap_anon(pages(0, 10_000), RW).expect("mapped");
            mm.touch(pages(0, 10_000), true).expect("touched");
            // Every second page read-only: as many mappings as pages, in the reverse map of one `anon_vma`.
            for vpn in (0..targets / 2).map(|at| FIRST + at * 2 * (10_000 / targets.max(2))) {
                mm.mprotect(vpn.addr(), PAGE_SIZE, Prot::READ).expect("changed");
            }
            let start = Instant::now();
            let freed = mm.reclaim_pages(pages(0, 10_000));
            best = best.max(freed as f64 / start.elapsed().as_secs_f64());
        });
    }
    best
}

fn main() {
    let mut curves: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    let (kernel, mm) = world(true);
    let mut by_subscribers = Vec::new();
    let mut there = 0;
    kernel.enter(|_| {
        println!("start and end of one page; each subscriber has one page, one is met");
        for n in [0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
            while there < n {
                let sub = Subscriptions::interval_insert(&*mm, pages(there, 1), Arc::new(Quiet));
                sub.expect("inserted");
                there += 1;
            }
            let cost = start_and_end(&mm, n, 1, 20_000);
            println!("  {n:>9} subscribers  {cost:>8.0} ns");
            // A logarithm has no place for none.
            if n > 0 {
                by_subscribers.push((n as f64, cost));
            }
        }
        println!("start and end beside 1,000,000 subscribers, of which more are met");
        let mut by_met = Vec::new();
        for met in [1, 10, 100, 1_000, 10_000] {
            let cost = start_and_end(&mm, there, met, 20_000 / met.max(1) + 2);
            println!("  {met:>9} met          {cost:>8.0} ns");
            by_met.push((met as f64, cost));
        }
        curves.push(("subscribers beside, one met".to_owned(), by_subscribers));
        curves.push(("subscribers met of a million".to_owned(), by_met));
    });
    println!("reclaim of 10,000 pages, one bracket each");
    for targets in [1, 100, 10_000] {
        println!("  {targets:>9} mappings     {:>8.0} pages/s", reclaim(targets));
    }
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(path, picture(&curves)).expect("written");
    }
}

/// The curves on logarithmic axes: count to the right, nanoseconds upwards.
fn picture(curves: &[(String, Vec<(f64, f64)>)]) -> String {
    const WIDE: f64 = 640.0;
    const HIGH: f64 = 400.0;
    const LEFT: f64 = 70.0;
    let points = || curves.iter().flat_map(|(_, points)| points);
    let top = points().map(|(_, y)| y.log10()).fold(0.0, f64::max).ceil();
    let low = points().map(|(_, y)| y.log10()).fold(top, f64::min).floor();
    let right = points().map(|(x, _)| x.log10()).fold(1.0, f64::max).ceil();
    let across = |log: f64| LEFT + log / right * WIDE;
    let up = |log: f64| 20.0 + (top - log) / (top - low) * HIGH;
    let mut svg = String::new();
    svg.push_str("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 480\" font-family=\"sans-serif\" font-size=\"12\">\n");
    svg.push_str("<rect width=\"760\" height=\"480\" fill=\"white\"/>\n");
    let mut line = |text: String| svg.push_str(&text);
    for decade in 0..=right as u32 {
        let x = across(f64::from(decade));
        line(format!(
            "<path d=\"M{x:.1} 20V420\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"438\" text-anchor=\"middle\">"
        ));
        line(format!("{}</text>\n", 10_u64.pow(decade)));
    }
    for decade in low as i32..=top as i32 {
        let y = up(f64::from(decade));
        line(format!(
            "<path d=\"M70 {y:.1}H710\" stroke=\"#ddd\"/><text x=\"62\" y=\"{:.1}\" text-anchor=\"end\">",
            y + 4.0
        ));
        let (unit, scale) = [("ns", 0), ("us", 3), ("ms", 6)][(decade / 3).clamp(0, 2) as usize];
        line(format!("{:.0} {unit}</text>\n", 10_f64.powi(decade - scale)));
    }
    for (at, ((name, points), colour)) in curves.iter().zip(["#06c", "#c40"]).enumerate() {
        let path = points.iter().fold(String::new(), |mut path, (x, y)| {
            let step = if path.is_empty() { "M" } else { "L" };
            let _ = write!(path, "{step}{:.1} {:.1}", across(x.log10()), up(y.log10()));
            path
        });
        line(format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
        line(format!("<text x=\"{}\" y=\"465\" fill=\"{colour}\">{name}</text>\n", 120 + at * 300));
    }
    svg.push_str("</svg>\n");
    svg
}
