//! A thread for each node, all at the same time, and what each comes to.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Instant;

use super::events::Event;
use crate::outage::progress::Progress;

/// What the worker of a node came to.
pub enum Ended<T> {
    /// It has done its work.
    Done(T),
    /// It broke down.
    Panicked,
    /// It has not ended in time, and may still go on.
    TimedOut,
}

/// The workers of one step that have not ended, by the number of their node.
pub struct Workers<T> {
    running: BTreeMap<u32, Worker<T>>,
    /// What was done without a worker, since the system had no thread for one.
    done: Vec<(u32, T)>,
    give_up_at: Option<Instant>,
}

struct Worker<T> {
    began: Instant,
    thread: JoinHandle<T>,
}

/// Tells of the end of its thread, also where that panics.
struct Announcement(Sender<Event>);

impl Drop for Announcement {
    fn drop(&mut self) {
        // Nobody listens any more only when the program is about to end.
        let _ = self.0.send(Event::WorkerEnded(thread::current().id()));
    }
}

impl<T> Drop for Workers<T> {
    /// Where the step itself breaks down, what is under way on a node is not cut off in the middle:
    /// it ends first, and then its node comes back, as whatever is dropped.
    fn drop(&mut self) {
        if thread::panicking() {
            for worker in std::mem::take(&mut self.running).into_values() {
                let _ = worker.thread.join();
            }
        }
    }
}

fn run_task<I, T>(
    number: u32,
    task: &Mutex<Option<I>>,
    events: &Sender<Event>,
    work: &impl Fn(I, &dyn Fn(Progress)) -> T,
) -> T {
    let item = task.lock().unwrap_or_else(PoisonError::into_inner).take();
    let item = item.expect("a task is run once");
    work(item, &|progress| {
        drop(events.send(Event::Progress(number, progress)));
    })
}

impl<T: Send + 'static> Workers<T> {
    /// Starts one for each item, which belongs to the node of that number. Its progress and its end
    /// come as events.
    pub fn start<I: Send + 'static>(
        items: impl IntoIterator<Item = (u32, I)>,
        events: &Sender<Event>,
        work: impl Fn(I, &dyn Fn(Progress)) -> T + Clone + Send + 'static,
    ) -> Self {
        let (mut running, mut done) = (BTreeMap::new(), Vec::new());
        for (number, item) in items {
            let task = Arc::new(Mutex::new(Some(item)));
            let run = {
                let (task, events, work) = (Arc::clone(&task), events.clone(), work.clone());
                move || {
                    let announcement = Announcement(events);
                    run_task(number, &task, &announcement.0, &work)
                }
            };
            let began = Instant::now();
            if let Ok(thread) = thread::Builder::new().spawn(run) {
                running.insert(number, Worker { began, thread });
            } else {
                // A node that is offline must come back all the same.
                done.push((number, run_task(number, &task, events, &work)));
            }
        }
        Self {
            running,
            done,
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
        self.running.is_empty() && self.done.is_empty()
    }

    /// The nodes whose workers have not ended, and since when the first of them has been at work.
    pub fn running(&self) -> (Vec<u32>, Option<Instant>) {
        let began = self.running.values().map(|worker| worker.began).min();
        (self.running.keys().copied().collect(), began)
    }

    /// The node of a worker that has announced its end, and what it came to; nothing where it is
    /// none of these, as one that was given up.
    pub fn join(&mut self, ended: ThreadId) -> Option<(u32, Ended<T>)> {
        let is_it = |worker: &Worker<T>| worker.thread.thread().id() == ended;
        let number = *self.running.iter().find(|(_, worker)| is_it(worker))?.0;
        let outcome = match self.running.remove(&number)?.thread.join() {
            Ok(result) => Ended::Done(result),
            Err(_) => Ended::Panicked,
        };
        Some((number, outcome))
    }

    /// One that has nothing to announce: it was done without a thread, or has had all the time that
    /// there is and is given up.
    pub fn next_silent(&mut self) -> Option<(u32, Ended<T>)> {
        if let Some((number, result)) = self.done.pop() {
            return Some((number, Ended::Done(result)));
        }
        self.give_up_at.filter(|at| *at <= Instant::now())?;
        let (number, _) = self.running.pop_first()?;
        Some((number, Ended::TimedOut))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;
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
                Event::WorkerEnded(thread) => outcomes.extend(workers.join(thread)),
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
        assert!(matches!(workers.next_silent(), Some((1, Ended::TimedOut))));
        assert!(workers.is_empty() && workers.next_silent().is_none());
        // The next step has a worker for the same node.
        let mut workers = Workers::start([(1, Duration::from_secs(60))], &events, wait);
        let Event::WorkerEnded(thread) = heard.recv().unwrap() else {
            unreachable!()
        };
        assert!(workers.join(thread).is_none());
        assert!(!workers.is_empty() && workers.next_silent().is_none());
    }
}
