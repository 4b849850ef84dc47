//! Threads that are used again: to start one, and to end it, takes a good part of what most of the
//! work that is done beside other work takes.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

type Task = Box<dyn FnOnce() + Send>;

/// Never more tasks than threads that are free for them, so that none waits for another to end.
struct Pool {
    tasks: VecDeque<Task>,
    free: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    tasks: VecDeque::new(),
    free: 0,
});

static TASK_CAME: Condvar = Condvar::new();

/// Work that goes on in another thread.
pub struct Running<T>(Receiver<thread::Result<T>>);

impl<T> Running<T> {
    /// Waits for what it comes to.
    ///
    /// # Errors
    /// What it panicked with.
    pub fn join(self) -> thread::Result<T> {
        self.0.recv().expect("it sends what came of it")
    }

    /// The same, but panics with it, as if the work had been done here.
    pub fn result(self) -> T {
        self.join().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// As [`Self::join`], but does not wait for longer; nothing then, and the work goes on.
    pub fn join_within(self, timeout: Duration) -> Option<thread::Result<T>> {
        self.0.recv_timeout(timeout).ok()
    }
}

/// Starts work in a thread that is free, or in a new one.
///
/// # Errors
/// Where the system starts none.
pub fn start<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Running<T>> {
    let (task, running) = task(work);
    hand_over(task).map_err(|(_, error)| error)?;
    Ok(running)
}

/// The same, but where the system starts no thread it is done here, before this returns.
pub fn start_or_run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Running<T> {
    let (task, running) = task(work);
    if let Err((task, _)) = hand_over(task) {
        task();
    }
    running
}

fn task<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> (Task, Running<T>) {
    let (sender, receiver) = channel();
    let task = move || {
        // Whoever does not wait for it any more does not want it either.
        let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
    };
    (Box::new(task), Running(receiver))
}

fn hand_over(task: Task) -> Result<(), (Task, io::Error)> {
    let mut pool = pool();
    if pool.free == pool.tasks.len() {
        if let Err(error) = thread::Builder::new().spawn(serve) {
            return Err((task, error));
        }
        pool.free += 1;
    }
    pool.tasks.push_back(task);
    TASK_CAME.notify_one();
    Ok(())
}

/// Does one task after the other, until the program ends.
fn serve() {
    let mut pool = pool();
    loop {
        if let Some(task) = pool.tasks.pop_front() {
            pool.free -= 1;
            drop(pool);
            task();
            pool = self::pool();
            pool.free += 1;
        } else {
            pool = TASK_CAME.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Barrier};

    use super::*;

    #[test]
    fn no_work_waits_for_other_work_to_end() {
        for _ in 0..20 {
            let all = Arc::new(Barrier::new(9));
            let wait = |_| {
                let all = Arc::clone(&all);
                start_or_run(move || all.wait().is_leader())
            };
            let running: Vec<_> = (0..8).map(wait).collect();
            all.wait();
            assert!(running.into_iter().all(|one| one.join().is_ok()));
        }
    }

    #[test]
    fn a_thread_is_used_again_also_after_a_panic() {
        let used = (0..100).map(|number| {
            let here = start(|| format!("{:?}", thread::current().id())).unwrap();
            let here = here.join().unwrap();
            let broke = start(move || assert_eq!(number, 100, "as it should")).unwrap();
            assert!(broke.join().is_err());
            here
        });
        assert!(used.collect::<BTreeSet<_>>().len() < 50);
    }

    #[test]
    fn nobody_waits_longer_than_asked() {
        let (end, wait) = channel::<()>();
        let running = start(move || wait.recv().is_err()).unwrap();
        assert!(running.join_within(Duration::from_millis(5)).is_none());
        drop(end);
        let running = start(|| 7).unwrap();
        let came = running.join_within(Duration::from_secs(60));
        assert!(matches!(came, Some(Ok(7))));
    }
}
