//! The graph for other programs: as a value (serde), and as DOT.

use core::fmt::Write as _;

use serde::Serialize;

use crate::core::Core;
use crate::report::{ClassText, ReportKind, SiteText};
use crate::run::Run;
use crate::storage::Storage;

/// A class of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraphClass {
    /// Its name, usage states and wait types.
    pub class: ClassText,
    /// How many classes it leads to, itself included.
    pub forward: usize,
    /// How many lead to it, itself included.
    pub backward: usize,
}

/// A kind of a dependency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraphEdge {
    /// What was held, by its place among the classes.
    pub from: usize,
    /// What was taken then.
    pub to: usize,
    /// How: `EN`, `SN`, `ER` or `SR`.
    pub kind: &'static str,
    /// Where `from` was taken when it was first seen.
    pub held_at: SiteText,
    /// Where `to` was.
    pub taken_at: SiteText,
    /// It is part of a strong cycle.
    pub on_a_cycle: bool,
}

/// What a run knows, sorted by names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraphText {
    /// The classes that were taken.
    pub classes: Vec<GraphClass>,
    /// Their dependencies.
    pub edges: Vec<GraphEdge>,
    /// The kinds and ids of what was reported.
    pub reports: Vec<(ReportKind, String)>,
}

impl GraphText {
    /// As a graph in the DOT language: an edge for each kind, drawn dashed where the start is held shared and with an open
    /// head where the end is taken recursively; red on a strong cycle.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut out = String::from("digraph lockdep {\n  node [shape=box];\n");
        for (number, node) in self.classes.iter().enumerate() {
            let ClassText { name, usage, wait_outer, wait_inner, ours } = &node.class;
            let style = if *ours { ", style=dashed" } else { "" };
            let label = quoted(name);
            let line =
                writeln!(out, "  n{number} [label=\"{label}\\n{{{usage}}} {{{wait_outer}:{wait_inner}}}\"{style}];");
            line.expect("writing to a string does not fail");
        }
        for edge in &self.edges {
            let style = if edge.kind.starts_with('S') { "dashed" } else { "solid" };
            let head = if edge.kind.ends_with('R') { "empty" } else { "normal" };
            let color = if edge.on_a_cycle { "red" } else { "black" };
            let GraphEdge { from, to, kind, .. } = edge;
            let at = quoted(&edge.taken_at.location);
            let line = writeln!(
                out,
                "  n{from} -> n{to} [label=\"{kind}\", style={style}, arrowhead={head}, color={color}, tooltip=\"{at}\"];"
            );
            line.expect("writing to a string does not fail");
        }
        out.push_str("}\n");
        out
    }
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl<S: Storage> Run<S> {
    /// The graph as a value: for JSON, and for [`GraphText::to_dot`].
    #[must_use]
    pub fn graph(&mut self) -> GraphText {
        self.storage.with(Core::graph_text)
    }
}

impl Core {
    fn graph_text(&mut self) -> GraphText {
        let mut classes = self.used_classes();
        classes.sort_by_cached_key(|class| self.lockdep.tables.read().class(*class).clone());
        let place =
            |class: u32| classes.iter().position(|known| *known == class).expect("a class of an edge was taken");
        let mut edges = Vec::new();
        for id in self.graph.live().to_vec() {
            let (from, to) = self.graph.ends(id);
            for (kind, sites) in self.seen(id).collect::<Vec<_>>() {
                edges.push(GraphEdge {
                    from: place(from),
                    to: place(to),
                    kind: kind.letters(),
                    held_at: sites.held.into(),
                    taken_at: sites.taken.into(),
                    on_a_cycle: self.graph.on_a_cycle(from, kind, to),
                });
            }
        }
        edges.sort_by(|a, b| (a.from, a.to, a.kind).cmp(&(b.from, b.to, b.kind)));
        let reports = self.reports.iter().map(|report| (report.kind, report.id.to_string())).collect();
        let counts = self.reach_counts(&classes);
        let classes = self.with_tables(|core, tables| {
            let class = |(class, (forward, backward)): (&u32, (usize, usize))| GraphClass {
                class: core.class_text(tables, *class),
                forward,
                backward,
            };
            classes.iter().zip(counts).map(class).collect()
        });
        GraphText { classes, edges, reports }
    }
}
