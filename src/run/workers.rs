//! A worker for each node, all at the same time, and what each comes to.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use super::events::Event;
use crate::outage::progress::Progress;
use crate::threads;

/// What the worker of a node came to.
pub enum Ended<T> {
    /// It has done its work.
    Done(T),
    /// It broke down.
    Panicked,
    /// It has not ended in time, and may still go on.
    TimedOut,
}

/// The workers of one step that have not ended.
pub struct Workers<T> {
    /// The numbers of their nodes, and since when each has been at work.
    running: BTreeMap<u32, Instant>,
    ended: Receiver<(u32, Ended<T>)>,
    give_up_at: Option<Instant>,
}

impl<T> Drop for Workers<T> {
    /// Where the step itself breaks down, what is under way on a node is not cut off in the middle:
    /// it ends first, and then its node comes back, as whatever is dropped.
    fn drop(&mut self) {
        while thread::panicking() && !self.running.is_empty() {
            match self.ended.recv() {
                Ok((number, _)) => self.running.remove(&number),
                Err(_) => return,
            };
        }
    }
}

impl<T: Send + 'static> Workers<T> {
    /// Starts one for each item, which belongs to the node of that number. Its progress and its end
    /// come as events.
    pub fn start<I: Send + 'static>(
        items: impl IntoIterator<Item = (u32, I)>,
        events: &Sender<Event>,
        work: impl Fn(I, &dyn Fn(Progress)) -> T + Clone + Send + 'static,
    ) -> Self {
        let (sender, ended) = channel();
        let mut running = BTreeMap::new();
        for (number, item) in items {
            running.insert(number, Instant::now());
            let (sender, events, work) = (sender.clone(), events.clone(), work.clone());
            // Also where there is no thread for it: a node that is offline must come back.
            threads::start_or_run(move || {
                let tell = |progress| drop(events.send(Event::Progress(number, progress)));
                let outcome = match catch_unwind(AssertUnwindSafe(|| work(item, &tell))) {
                    Ok(result) => Ended::Done(result),
                    Err(_) => Ended::Panicked,
                };
                // Nobody listens any more only where it was given up, or the program is about to
                // end.
                let _ = sender.send((number, outcome));
                let _ = events.send(Event::WorkerEnded);
            });
        }
        Self {
            running,
            ended,
            give_up_at: None,
        }
    }

    /// The same, but whatever has not ended by then is not waited for.
    pub fn give_up_at(mut self, at: Instant) -> Self {
        self.give_up_at = Some(at);
        self
    }

    /// Whether all have ended and been told.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The nodes whose workers have not ended, and since when the first of them has been at work.
    pub fn running(&self) -> (Vec<u32>, Option<Instant>) {
        let began = self.running.values().min().copied();
        (self.running.keys().copied().collect(), began)
    }

    /// The node of one that has ended, and what it came to, when an event tells of an end; nothing
    /// where that was of none of these, as of one that was given up.
    pub fn ended(&mut self) -> Option<(u32, Ended<T>)> {
        let ended = self.ended.try_recv().ok();
        ended.filter(|(number, _)| self.running.remove(number).is_some())
    }

    /// One that has had all the time that there is.
    pub fn given_up(&mut self) -> Option<(u32, Ended<T>)> {
        self.give_up_at.filter(|at| *at <= Instant::now())?;
        let (number, _) = self.running.pop_first()?;
        Some((number, Ended::TimedOut))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_result_comes_once_and_a_panic_is_one() {
        let (events, heard) = channel();
        let mut workers = Workers::start([(7, true), (2, false)], &events, |fine, on_progress| {
            on_progress(Progress::SessionsLeft(3));
            assert!(fine);
            "done"
        });
        let mut outcomes = BTreeMap::new();
        let mut progress = Vec::new();
        while !workers.is_empty() {
            match heard.recv().unwrap() {
                Event::WorkerEnded => outcomes.extend(workers.ended()),
                Event::Progress(number, _) => {
                    assert!(!outcomes.contains_key(&number));
                    progress.push(number);
                }
                _ => unreachable!(),
            }
        }
        progress.sort_unstable();
        assert_eq!(progress, [2, 7]);
        assert!(matches!(outcomes[&2], Ended::Panicked));
        assert!(matches!(outcomes[&7], Ended::Done("done")));
    }

    #[test]
    fn a_step_that_breaks_down_cuts_nothing_off() {
        let done = Arc::new(AtomicBool::new(false));
        let broke = catch_unwind(AssertUnwindSafe(|| {
            let (events, _heard) = channel();
            let _workers = Workers::start([(1, Arc::clone(&done))], &events, |done, _| {
                thread::sleep(Duration::from_millis(50));
                done.store(true, Ordering::SeqCst);
            });
            panic!("as it should");
        }));
        assert!(broke.is_err() && done.load(Ordering::SeqCst));
    }

    #[test]
    fn what_is_given_up_is_not_heard_of_again() {
        let (events, heard) = channel();
        let wait = |pause, _: &dyn Fn(Progress)| thread::sleep(pause);
        let workers = Workers::start([(1, Duration::from_millis(50))], &events, wait);
        let mut workers = workers.give_up_at(Instant::now());
        assert_eq!(workers.running().0, [1]);
        assert!(matches!(workers.given_up(), Some((1, Ended::TimedOut))));
        assert!(workers.is_empty() && workers.given_up().is_none());
        // The next step has a worker for the same node.
        let mut workers = Workers::start([(1, Duration::from_secs(60))], &events, wait);
        assert!(matches!(heard.recv().unwrap(), Event::WorkerEnded));
        assert!(workers.ended().is_none());
        assert!(!workers.is_empty() && workers.given_up().is_none());
    }
}
