//! The sets of nodes that a drill tries.

use std::iter::successors;

use crate::report::runs::Set;

/// Every set of 1 to `at_once` of these nodes: the small ones first, and all in the order of the
/// nodes.
pub fn sets(nodes: &[u32], at_once: usize) -> impl Iterator<Item = Set> {
    let count = nodes.len();
    let first = (count > 0 && at_once > 0).then(|| vec![0]);
    let places = successors(first, move |set| {
        let size = set.len();
        let mut next = set.clone();
        // The last place that can move on takes those behind it along.
        let moves = (0..size).rev().find(|&at| set[at] < count - size + at);
        let Some(at) = moves else {
            return (size < count.min(at_once)).then(|| (0..=size).collect());
        };
        for (more, place) in next[at..].iter_mut().enumerate() {
            *place = set[at] + 1 + more;
        }
        Some(next)
    });
    places.map(|set| set.iter().map(|&place| nodes[place]).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn single_nodes_come_first_then_pairs_in_the_order_of_the_nodes() {
        let all: Vec<_> = sets(&[3, 4, 9], 2).collect();
        assert_eq!(
            all,
            [
                vec![3],
                vec![4],
                vec![9],
                vec![3, 4],
                vec![3, 9],
                vec![4, 9]
            ]
        );
        assert_eq!(sets(&[3, 4, 9], 3).last(), Some(vec![3, 4, 9]));
        assert_eq!(sets(&[1, 2], 9).count(), 3);
        assert_eq!(sets(&[1], 1).count(), 1);
    }

    proptest! {
        #[test]
        fn every_set_comes_once_and_no_smaller_one_after_it(count in 0..9_u32, at_once in 0..11_usize) {
            let nodes: Vec<u32> = (0..count).collect();
            let all: Vec<_> = sets(&nodes, at_once).collect();
            let expected = (1_u32..1 << count).filter(|bits| bits.count_ones() as usize <= at_once).count();
            prop_assert_eq!(all.len(), expected);
            prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), expected);
            prop_assert!(all.is_sorted_by_key(|set| (set.len(), set.clone())));
            prop_assert!(all.iter().all(|set| set.is_sorted() && set.iter().all(|&node| node < count)));
        }
    }
}
