//! Stacks of functions: trees of calls merged by their path from the entry point.
//!
//! The number of stacks follows the shape of the code and not the number of calls. Calls deeper than a bound belong to one
//! frame at the bound, because a stack is written as its whole path.

use foldhash::HashMap;

use super::Trees;
use crate::model::names::Name;

/// The most frames of a stack.
pub(crate) const DEPTH_MAX: u32 = 500;

/// The frame above calls whose caller has no row.
const UNRECORDED: &str = "(caller not recorded)";
/// The frame of all calls beyond the greatest depth.
const DEEPER: &str = "(deeper calls)";

/// A function below a path of callers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    /// The name as it is shown, a position in [`Stacks::names`].
    pub(crate) name: usize,
    /// The caller's frame, which always comes before this one.
    pub(crate) caller: Option<usize>,
    /// The number of callers above.
    pub(crate) depth: u32,
    /// The time in the function itself, in ns.
    pub(crate) self_ns: f64,
    /// The time in the function and everything below it, in ns. Calls that ran at the same time add up.
    pub(crate) total_ns: f64,
    /// The number of calls.
    pub(crate) calls: f64,
    /// The number of failed calls.
    pub(crate) failed: f64,
}

/// The figure by which stacks are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The time in the function itself, in ns.
    SelfTime,
    /// The number of calls.
    Calls,
    /// The number of failed calls.
    Failures,
}

impl Frame {
    /// Returns the weight of the stack that ends with this frame, as a whole number.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the figure is not negative, and the cast saturates"
    )]
    pub(crate) fn weigh(&self, weight: Weight) -> u64 {
        let figure = match weight {
            Weight::SelfTime => self.self_ns,
            Weight::Calls => self.calls,
            Weight::Failures => self.failed,
        };
        figure.round() as u64
    }
}

/// A name in a stack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StackName {
    /// The name, safe for a terminal.
    pub(crate) text: String,
    /// File and line of the function, if the store knows them.
    pub(crate) source: Option<(String, i64)>,
}

/// Frames, callers before their callees, and their names.
#[derive(Debug, Default)]
pub(crate) struct Stacks {
    /// The frames.
    pub(crate) frames: Vec<Frame>,
    /// The names, each once.
    pub(crate) names: Vec<StackName>,
}

/// A name of a frame before it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Label {
    Function(Name),
    Unrecorded,
    Deeper,
}

impl Stacks {
    /// Merges the calls of trees by their path.
    pub(crate) fn collect(trees: &Trees) -> Self {
        let mut builder = Builder::default();
        let mut frames_of_nodes: Vec<usize> = Vec::with_capacity(trees.nodes.len());
        for node in &trees.nodes {
            let row = &trees.rows.rows[node.row];
            let is_caller_lost = row.parent.is_some() && trees.forest.parent(node.row).is_none();
            let caller = match node.caller {
                Some(caller) => Some(frames_of_nodes[caller]),
                None => is_caller_lost.then(|| builder.enter(trees, None, Label::Unrecorded)),
            };
            let at = builder.enter(trees, caller, Label::Function(row.function));
            let frame = &mut builder.stacks.frames[at];
            frame.self_ns += node.self_ns;
            frame.calls += row.weight;
            frame.failed += if row.is_failed { row.weight } else { 0.0 };
            frames_of_nodes.push(at);
        }
        let mut stacks = builder.stacks;
        for at in (0..stacks.frames.len()).rev() {
            // The few rows that were sampled can stand for more time of the callees than of the function.
            stacks.frames[at].self_ns = stacks.frames[at].self_ns.max(0.0);
            stacks.frames[at].total_ns += stacks.frames[at].self_ns;
            let total = stacks.frames[at].total_ns;
            if let Some(caller) = stacks.frames[at].caller {
                stacks.frames[caller].total_ns += total;
            }
        }
        stacks
    }

    /// Returns the frames from the entry point to a frame.
    pub(crate) fn path(&self, frame: usize) -> Vec<usize> {
        let mut path: Vec<usize> = std::iter::successors(Some(frame), |at| self.frames[*at].caller).collect();
        path.reverse();
        path
    }

    /// Returns the name of a frame.
    pub(crate) fn name(&self, frame: usize) -> &str {
        &self.names[self.frames[frame].name].text
    }

    /// Returns the time of all trees.
    pub(crate) fn total_ns(&self) -> f64 {
        self.frames.iter().filter(|frame| frame.caller.is_none()).map(|frame| frame.total_ns).sum()
    }

    /// Returns the frames below each frame, and last those of the entry points, each list by time, the longest first.
    pub(crate) fn list_callees(&self) -> Vec<Vec<usize>> {
        let mut callees = vec![Vec::new(); self.frames.len() + 1];
        for (at, frame) in self.frames.iter().enumerate() {
            callees[frame.caller.unwrap_or(self.frames.len())].push(at);
        }
        for list in &mut callees {
            list.sort_by(|a, b| self.frames[*b].total_ns.total_cmp(&self.frames[*a].total_ns));
        }
        callees
    }
}

#[derive(Default)]
struct Builder {
    stacks: Stacks,
    known: HashMap<(Option<usize>, Label), usize>,
    names: HashMap<Label, usize>,
}

impl Builder {
    /// Returns the frame of a function below a caller's frame, and adds it if it is new.
    fn enter(&mut self, trees: &Trees, caller: Option<usize>, label: Label) -> usize {
        let depth = caller.map_or(0, |caller| self.stacks.frames[caller].depth + 1);
        let (caller, label) = match caller {
            Some(deepest) if depth >= DEPTH_MAX => return deepest,
            _ if depth == DEPTH_MAX - 1 => (caller, Label::Deeper),
            _ => (caller, label),
        };
        if let Some(at) = self.known.get(&(caller, label)) {
            return *at;
        }
        let name = self.name(trees, label);
        let at = self.stacks.frames.len();
        self.stacks.frames.push(Frame {
            name,
            caller,
            depth,
            self_ns: 0.0,
            total_ns: 0.0,
            calls: 0.0,
            failed: 0.0,
        });
        self.known.insert((caller, label), at);
        at
    }

    fn name(&mut self, trees: &Trees, label: Label) -> usize {
        let stacks = &mut self.stacks;
        *self.names.entry(label).or_insert_with(|| {
            let (text, source) = match label {
                Label::Function(name) => (trees.show_name(name), trees.sources.get(&name).cloned()),
                Label::Unrecorded => (UNRECORDED.to_owned(), None),
                Label::Deeper => (DEEPER.to_owned(), None),
            };
            stacks.names.push(StackName { text, source });
            stacks.names.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{call, trees};
    use super::*;
    use crate::model::rows::Row;

    fn list(stacks: &Stacks) -> Vec<(String, u64, u64)> {
        let mut list: Vec<_> = (0..stacks.frames.len())
            .map(|at| {
                let path: Vec<_> = stacks.path(at).into_iter().map(|at| stacks.name(at)).collect();
                let frame = &stacks.frames[at];
                (path.join(";"), frame.weigh(Weight::SelfTime), frame.weigh(Weight::Calls))
            })
            .collect();
        list.sort();
        list
    }

    #[test]
    fn calls_of_one_path_are_one_frame_and_their_times_add_up_to_the_roots() {
        let rows = vec![
            call(1, None, 0, 0, 100),
            call(2, Some(1), 1, 10, 40),
            call(3, Some(1), 1, 50, 60),
            call(4, None, 0, 200, 250),
            call(5, Some(4), 2, 200, 220),
        ];
        let stacks = Stacks::collect(&trees(rows, None));
        let expected = [("a", 90, 2), ("a;b", 40, 2), ("a;c", 20, 1)];
        assert_eq!(list(&stacks), expected.map(|(path, ns, calls)| (path.to_owned(), ns, calls)));
        assert!((stacks.total_ns() - 150.0).abs() < 1e-9);
    }

    #[test]
    fn a_lost_caller_has_a_frame_and_weights_multiply() {
        let lost = Row { weight: 4.0, ..call(2, Some(9), 1, 0, 10) };
        let stacks = Stacks::collect(&trees(vec![lost], None));
        assert_eq!(
            list(&stacks),
            [("(caller not recorded)".to_owned(), 0, 0), ("(caller not recorded);b".to_owned(), 40, 4)]
        );
    }

    #[test]
    fn a_callee_with_a_rate_of_its_own_takes_the_time_that_it_stands_for_from_its_callers() {
        let mut rows = Vec::new();
        for tree in 0..100 {
            let start = tree * 1_000;
            rows.push(call(tree + 1, None, 0, start, start + 100));
            if tree % 50 == 7 {
                rows.push(Row { weight: 50.0, ..call(1_000 + tree, Some(tree + 1), 1, start, start + 90) });
            }
        }
        let stacks = Stacks::collect(&trees(rows.clone(), None));
        let expected = [("a", 1_000, 100), ("a;b", 9_000, 100)];
        assert_eq!(list(&stacks), expected.map(|(path, ns, calls)| (path.to_owned(), ns, calls)));
        let below = Stacks::collect(&trees(rows.clone(), Some("b")));
        assert_eq!(list(&below), [("b".to_owned(), 9_000, 100)]);
        // Sampling may draw so many rows of the callee that they stand for more time than the callee took.
        rows.push(Row { weight: 50.0, ..call(5_000, Some(1), 1, 0, 90) });
        let stacks = Stacks::collect(&trees(rows, None));
        assert_eq!(list(&stacks)[0], ("a".to_owned(), 0, 100));
        assert!((stacks.total_ns() - 13_500.0).abs() < 1e-6);
    }

    #[test]
    fn calls_beyond_the_greatest_depth_share_a_frame_and_lose_no_time() {
        let depth = i64::from(DEPTH_MAX) + 200;
        let rows = (1..=depth).map(|n| call(n, (n > 1).then_some(n - 1), 0, n, 2 * depth - n)).collect();
        let stacks = Stacks::collect(&trees(rows, None));
        assert_eq!(stacks.frames.len(), DEPTH_MAX as usize);
        let last = stacks.frames.len() - 1;
        assert_eq!((stacks.name(last), stacks.frames[last].weigh(Weight::Calls)), ("(deeper calls)", 201));
        assert_eq!(
            Ok(stacks.frames.iter().map(|f| f.weigh(Weight::SelfTime)).sum()),
            u64::try_from(2 * (depth - 1))
        );
    }
}
