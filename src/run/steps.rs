//! The steps that change nodes, all at the same time: prepare (2), take down (3), restore (5).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::events::{Event, ONE_INTERRUPT};
use super::held::Changed;
use super::workers::Ended;
use super::{Abort, OnInterrupt, Run};
use crate::config::{Node, Unnamed};
use crate::exit_status::ExitStatus;
use crate::options::Options;
use crate::outage::hold::{Back, Outage};
use crate::outage::progress::Progress;
use crate::outage::ready::Ready;
use crate::outage::restore::RESTORE_RETRY_FOR;
use crate::outage::take_down::NotTaken;
use crate::outage::together::{self, Claims};
use crate::reason::{self, Reason};
use crate::server::{Error, Failure, in_words};

/// How one node is brought back.
type Restore<T> = fn(T, &dyn Fn(Progress)) -> Result<Back, Error>;

/// When a node that is not back is given up: a little after the last try has begun.
const GIVE_UP_AFTER: Duration = RESTORE_RETRY_FOR.saturating_add(Duration::from_secs(2));

impl Run<'_> {
    /// Step 2: every one of these nodes is checked, nothing is changed.
    pub(super) fn prepare(
        &mut self,
        numbers: &[u32],
        options: Options,
    ) -> Result<Vec<Ready>, Abort> {
        let nodes = self.of_numbers(numbers);
        let claims = Arc::new(Claims::default());
        let (mut ready, mut failed) = (Vec::<Ready>::new(), BTreeMap::new());
        let mut workers = self.work(nodes, move |node, _| {
            Ready::prepare(&node, &options, &claims)
        });
        while let Some((number, outcome)) = self.next(&mut workers, OnInterrupt::Leave)? {
            match outcome.or_problem() {
                Ok(node) => ready.push(node),
                Err(why) => drop(failed.insert(number, why)),
            }
        }
        let place = |number: u32| numbers.iter().position(|&one| one == number);
        ready.sort_by_key(|node| place(node.node().number));
        if failed.is_empty() {
            for at in 0..ready.len() {
                let (earlier, node) = (&ready[..at], &ready[at]);
                if let Some(why) = earlier.iter().find_map(|other| node.conflict(other)) {
                    failed.insert(node.node().number, why.into());
                }
            }
        }
        if failed.is_empty() {
            let taken = ready.iter();
            let taken = taken.filter_map(|one| Some((one.node().number, one.is_taken()?.into())));
            failed.extend(taken);
        }
        if failed.is_empty() {
            for node in &ready {
                for warning in &node.warnings {
                    self.warn_once(node.node(), warning);
                }
            }
            together::join(&mut ready);
            return Ok(ready);
        }
        for &number in numbers {
            if let Some(why) = failed.get(&number) {
                self.printer.error(&self.node(number), why);
            }
        }
        self.printer.note("nothing was changed on any node");
        Err(Abort(ExitStatus::Failed))
    }

    /// Those of the named nodes that have these numbers.
    fn of_numbers(&self, numbers: &[u32]) -> BTreeMap<u32, Arc<Node>> {
        let mut nodes = self.named();
        nodes.retain(|number, _| numbers.contains(number));
        // In a drill the nodes of the other sets are not named either.
        let others = self
            .nodes
            .iter()
            .filter(|one| !numbers.contains(&one.number));
        for node in nodes.values_mut() {
            let others = others.clone().map(|one| Unnamed::from(&**one));
            Arc::make_mut(node).unnamed.extend(others);
        }
        nodes
    }

    /// Warns of what a drill meets in each outage of the node.
    pub(super) fn warn_once(&mut self, node: &Node, warning: &Reason) {
        if self.warned.insert((node.number, warning.clone())) {
            self.printer.warning(node, warning);
        }
    }

    /// Step 3. The nodes that may be changed, and whether all of them are offline.
    pub(super) fn take_down(
        &mut self,
        ready: Vec<Ready>,
    ) -> Result<(BTreeMap<u32, Changed>, bool), Abort> {
        let ready = ready.into_iter().map(|node| (node.node().number, node));
        let ready: BTreeMap<u32, Ready> = ready.collect();
        let by_hand = ready.iter().map(|(number, node)| (*number, node.by_hand()));
        self.by_hand.extend(by_hand);
        // Not the one of an earlier outage, which may have been stopped.
        self.stop = Arc::new(AtomicBool::new(self.interrupted.is_some()));
        let (others, first): (BTreeMap<_, _>, BTreeMap<_, _>) = ready
            .into_iter()
            .partition(|(_, node)| node.goes_with().is_some());
        let mut changed = BTreeMap::new();
        let mut is_complete = self.take_down_at_once(first, &mut changed)?;
        if is_complete {
            is_complete = self.take_down_at_once(others, &mut changed)?;
        } else {
            self.go_no_further(others, &mut changed);
        }
        Ok((changed, is_complete))
    }

    /// These nodes at the same time: whether all of them are offline.
    fn take_down_at_once(
        &mut self,
        ready: BTreeMap<u32, Ready>,
        changed: &mut BTreeMap<u32, Changed>,
    ) -> Result<bool, Abort> {
        let stop = Arc::clone(&self.stop);
        let mut is_complete = true;
        let mut workers = self.work(ready, move |node, on_progress| {
            node.take_down(&stop, on_progress)
        });
        loop {
            let (number, outcome) = match self.next(&mut workers, OnInterrupt::Restore) {
                Ok(Some(ended)) => ended,
                Ok(None) => return Ok(is_complete),
                Err(left) => {
                    let changed = std::mem::take(changed);
                    changed.into_values().for_each(Changed::abandon);
                    return Err(left);
                }
            };
            let left = match outcome {
                Ended::Done(Ok(node)) => {
                    let node = self.watched(number, node, changed);
                    changed.insert(number, Changed::Outage(node));
                    continue;
                }
                Ended::Done(Err(not_taken)) => self.not_taken_down(number, *not_taken),
                // Dropping its node has tried to bring it back, but nothing tells whether that
                // worked.
                Ended::Panicked | Ended::TimedOut => {
                    self.not_restored(number, reason::broke_down_here().into());
                    None
                }
            };
            changed.extend(left.map(|node| (number, node)));
            is_complete = false;
            self.stop.store(true, Ordering::SeqCst);
        }
    }

    /// Nodes that were to go with the first of their server, where not all of those did.
    fn go_no_further(
        &mut self,
        others: BTreeMap<u32, Ready>,
        changed: &mut BTreeMap<u32, Changed>,
    ) {
        for (number, node) in others {
            let first = node.goes_with().unwrap_or(number);
            if !self.by_hand.contains_key(&first) {
                // Nothing was changed there.
                self.by_hand.remove(&number);
                continue;
            }
            let is_answered = matches!(changed.get(&first), Some(Changed::Outage(_)));
            changed.insert(number, Changed::InPart(node.left(is_answered)));
        }
    }

    /// A node is offline: from now on it is watched, with the one that it went with.
    fn watched(
        &mut self,
        number: u32,
        mut node: Outage,
        others: &BTreeMap<u32, Changed>,
    ) -> Outage {
        self.printer.offline(&self.node(number), &node.taken());
        if let Some(first) = node.goes_with() {
            if let Some(Changed::Outage(first)) = others.get(&first) {
                node.is_watched_with(first);
            }
            return node;
        }
        let sender = self.sender.clone();
        let watching = node.watch(move |progress| {
            // Nobody listens any more only when the program is about to end.
            let _ = sender.send(Event::Progress(number, progress));
        });
        if let Err(why) = watching {
            let unwatched = reason::no_thread_to_watch(why);
            self.printer.warning(&self.node(number), &unwatched);
        }
        node
    }

    /// A node could not be taken offline. What may be changed of it is returned.
    fn not_taken_down(&mut self, number: u32, not_taken: NotTaken) -> Option<Changed> {
        if let Some(why) = not_taken.why {
            let why = why.told(|one| reason::not_taken_offline(one));
            self.printer.error(&self.node(number), &why);
        }
        if not_taken.changed.is_none() {
            self.by_hand.remove(&number);
        }
        not_taken.changed.map(Changed::InPart)
    }

    /// What an interrupt does while nodes go offline or come back.
    pub(super) fn interrupt(&mut self) -> Result<(), Abort> {
        if let Some(first) = self.interrupted {
            if first.elapsed() < ONE_INTERRUPT {
                return Ok(());
            }
            self.printer.general_error(&reason::left_early());
            for (&number, statements) in &self.by_hand {
                self.printer.by_hand(&self.node(number), statements);
            }
            return Err(Abort(ExitStatus::NotRestored));
        }
        self.interrupted = Some(Instant::now());
        self.stop.store(true, Ordering::SeqCst);
        self.printer
            .note("interrupted: bringing the nodes back (Ctrl-C again leaves at once)");
        Ok(())
    }

    /// Step 5: all nodes at the same time; one that fails does not stop another.
    pub(super) fn restore<T: Send + 'static>(
        &mut self,
        changed: BTreeMap<u32, T>,
        restore: Restore<T>,
    ) -> Result<BTreeMap<u32, Back>, Abort> {
        let mut summaries = BTreeMap::new();
        let workers = self.work(changed, restore);
        let mut workers = workers.give_up_at(Instant::now() + GIVE_UP_AFTER);
        while let Some((number, outcome)) = self.next(&mut workers, OnInterrupt::Restore)? {
            match outcome {
                Ended::Done(Ok(back)) => {
                    self.by_hand.remove(&number);
                    let node = self.node(number);
                    if back.was_offline {
                        self.printer.online(&node, &back);
                        summaries.insert(number, back);
                    } else {
                        self.printer.note(format!("{node}: as it was"));
                    }
                }
                Ended::Done(Err(why)) => {
                    if matches!(why, Error::Refused(_)) {
                        // What is in the way is not that it cannot be reached: to run them would do
                        // harm, or nothing.
                        self.by_hand.remove(&number);
                    }
                    self.not_restored(number, why.into());
                }
                Ended::Panicked => self.not_restored(number, reason::broke_down_here().into()),
                Ended::TimedOut => {
                    let silent = reason::silent(in_words(RESTORE_RETRY_FOR));
                    self.not_restored(number, silent.into());
                }
            }
        }
        Ok(summaries)
    }

    pub(super) fn not_restored(&mut self, number: u32, why: Failure) {
        self.not_restored = true;
        let node = self.node(number);
        let why = why.told(|one| reason::not_back(one));
        self.printer.error(&node, &why);
        if let Some(statements) = self.by_hand.get(&number) {
            self.printer.by_hand(&node, statements);
        }
    }
}
