//! What is known without searching is what a search would find.

use proptest::prelude::*;

use crate::graph::{Direction, EdgeKind, Graph};
use crate::usage::Usage;

fn kind() -> impl Strategy<Value = EdgeKind> {
    prop::sample::select(vec![EdgeKind::EN, EdgeKind::EN, EdgeKind::EN, EdgeKind::SN, EdgeKind::ER, EdgeKind::SR])
}

#[derive(Clone, Debug)]
enum Step {
    Edge(u32, EdgeKind, u32),
    Mark(u32, u16),
}

fn steps(classes: u32) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..classes, kind(), 0..classes).prop_map(|(a, kind, b)| Step::Edge(a, kind, b)),
        1 => (0..classes, 0..8_u16).prop_map(|(class, bit)| Step::Mark(class, 1 << bit)),
    ];
    prop::collection::vec(step, 1..120)
}

/// Everything the graph keeps, against plain searches.
fn check(graph: &mut Graph, classes: u32) {
    graph.assert_ordered();
    for class in 0..classes {
        for weak in [false, true] {
            assert_eq!(graph.usage_back(class, weak), graph.gather_back(class, weak), "before {class} {weak}");
            for bit in (0..8).filter(|bit| Usage::ENABLED & 1 << bit != 0) {
                let known = graph.usage_ahead(class, weak) & 1 << bit != 0;
                let found = graph.usage_path(Direction::Forward, class, weak, 1 << bit).is_some();
                assert_eq!(known, found, "{bit} behind {class} {weak}");
            }
        }
    }
}

fn play(classes: u32, skip: u32, steps: &[Step]) -> Graph {
    let mut graph = Graph::new();
    (0..classes.min(32)).filter(|class| skip & 1 << class != 0).for_each(|class| graph.set_skip(class));
    for step in steps {
        match *step {
            Step::Mark(class, bits) => graph.mark(class, bits),
            Step::Edge(from, kind, to) => {
                let edge = graph.edge_id(from, to);
                if !graph.kinds(edge).contains(kind) {
                    let path = graph.closing_path(from, kind, to).is_some();
                    graph.add(edge, kind);
                    assert_eq!(graph.on_a_cycle(from, kind, to), path, "{from} {kind:?} {to}");
                }
            }
        }
    }
    graph
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn cycles_and_usage_are_known_as_a_search_finds_them(steps in steps(12), skip in 0..64_u32) {
        check(&mut play(12, skip & 9, &steps), 12);
    }

    #[test]
    fn many_classes_stay_in_order(steps in steps(60)) {
        check(&mut play(60, 0, &steps), 60);
    }

    /// Without cycles the two-way search does the work: edges of one hidden order, in any sequence.
    #[test]
    fn a_hidden_order_is_found_from_any_sequence(
        ranks in Just((0..40_u32).collect::<Vec<_>>()).prop_shuffle(),
        pairs in prop::collection::vec((0..40_usize, 0..40_usize, kind()), 1..250),
    ) {
        let steps: Vec<Step> = pairs
            .into_iter()
            .filter(|(a, b, _)| a != b)
            .map(|(a, b, kind)| Step::Edge(ranks[a.min(b)], kind, ranks[a.max(b)]))
            .collect();
        check(&mut play(40, 0, &steps), 40);
    }

    #[test]
    fn a_class_taken_out_leaves_the_rest(steps in steps(10), gone in 0..10_u32) {
        let mut graph = play(10, 0, &steps);
        let touching = graph.live().iter().filter(|id| graph.ends(**id).0 == gone || graph.ends(**id).1 == gone).count();
        let before = graph.live().len();
        prop_assert_eq!(graph.remove_class(gone), touching);
        prop_assert_eq!(graph.live().len(), before - touching);
        prop_assert_eq!(graph.usage(gone), Usage::default());
        check(&mut graph, 10);
    }
}

/// Shapes that grow at one end never search; labels are dealt out again where they run short.
#[test]
fn chains_from_either_end_and_stars_need_no_search() {
    let n = 2000;
    let shapes: [Vec<(u32, u32)>; 4] = [
        (0..n - 1).map(|i| (i, i + 1)).collect(),
        (0..n - 1).rev().map(|i| (i, i + 1)).collect(),
        (1..n).map(|i| (0, i)).collect(),
        (1..n).map(|i| (i, 0)).collect(),
    ];
    for edges in shapes {
        let mut graph = Graph::new();
        for (a, b) in edges {
            let edge = graph.edge_id(a, b);
            graph.add(edge, EdgeKind::EN);
        }
        assert_eq!(graph.searches(), 0);
        graph.assert_ordered();
    }
}

/// Every new class goes between the same two, so that the room between them has to be made again and again.
#[test]
fn room_is_made_where_it_runs_short() {
    let mut graph = Graph::new();
    let add = |graph: &mut Graph, a, b| {
        let edge = graph.edge_id(a, b);
        graph.add(edge, EdgeKind::EN);
        assert!(!graph.on_a_cycle(a, EdgeKind::EN, b));
    };
    // 1 is before 0 in the order and each new pair has to be squeezed in between.
    for i in 1..300 {
        add(&mut graph, 2 * i, 2 * i + 1);
        add(&mut graph, 0, 2 * i);
        add(&mut graph, 2 * i + 1, 1);
        if i > 1 {
            add(&mut graph, 2 * i + 1, 2 * i - 2);
        }
    }
    graph.assert_ordered();
}
