//! The five steps, for all named nodes together: prepare, take offline, hold, bring back, and what each node's outcome
//! makes of the whole.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::Result;

use crate::config::Node;
use crate::hold::{Answers, Event, interrupts};
use crate::node::Error;
use crate::outage::{Back, Failed, Offline, Options, Progress, Ready};
use crate::report::Report;

/// The exit statuses; [`Status::Stuck`] outranks all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done, and every node is back.
    Done,
    /// The nodes could not be taken offline, or nobody could answer; whatever had been changed is put back.
    NotDone,
    /// Wrong arguments or configuration; nothing was touched.
    Usage,
    /// A node could not be brought back.
    Stuck,
    /// Interrupted, and every node is back.
    Interrupted,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Done => 0,
            Status::NotDone => 1,
            Status::Usage => 2,
            Status::Stuck => 3,
            Status::Interrupted => 130,
        })
    }
}

/// What the worker of a node tells, by the node's place among the named ones.
enum Work {
    Prepared(usize, Result<Ready, String>),
    Taken(usize, Result<Offline, Box<Failed>>),
    Back(usize, Result<Back, Error>),
    Progress(usize, Progress),
    /// The worker itself broke down.
    Broke(usize),
}

/// Fails the nodes until Y is answered.
///
/// # Errors
/// Where signals cannot be handled: nothing was touched.
pub fn run(nodes: Vec<Node>, options: Options, report: &mut Report) -> Result<Status> {
    let (sender, events) = channel();
    interrupts(sender.clone())?;
    report.head(&nodes);
    let mut run = Run {
        nodes: nodes.into_iter().map(Arc::new).collect(),
        options,
        report,
        sender,
        events,
        interrupted: false,
        stuck: false,
        stop: Arc::new(AtomicBool::new(false)),
        by_hand: BTreeMap::new(),
    };
    Ok(run.outage().unwrap_or_else(|Left(status)| status))
}

/// A step was left at once, with this status.
struct Left(Status);

struct Run<'a> {
    nodes: Vec<Arc<Node>>,
    options: Options,
    report: &'a mut Report,
    sender: Sender<Event<Work>>,
    events: Receiver<Event<Work>>,
    interrupted: bool,
    /// Whether a node could not be brought back.
    stuck: bool,
    /// Tells the workers to change nothing more.
    stop: Arc<AtomicBool>,
    /// What brings back each node that may be changed.
    by_hand: BTreeMap<usize, Vec<String>>,
}

impl Run<'_> {
    fn outage(&mut self) -> Result<Status, Left> {
        let ready = self.prepare()?;
        let (offline, all_taken) = self.take_offline(ready)?;
        let outcome = match (all_taken, self.interrupted) {
            (_, true) => Status::Interrupted,
            (true, false) => self.hold(),
            (false, false) => Status::NotDone,
        };
        self.bring_back(offline)?;
        Ok(match outcome {
            _ if self.stuck => Status::Stuck,
            Status::Done if self.interrupted => Status::Interrupted,
            outcome => outcome,
        })
    }

    /// Runs `work` for each item in a thread of its own; what it returns comes as an event.
    fn start<T: Send + 'static>(
        &self,
        items: impl IntoIterator<Item = (usize, T)>,
        work: impl Fn(usize, T, &dyn Fn(Progress)) -> Work + Clone + Send + 'static,
    ) {
        for (index, item) in items {
            let (sender, work) = (self.sender.clone(), work.clone());
            thread::spawn(move || {
                let tell =
                    |progress| drop(sender.send(Event::Work(Work::Progress(index, progress))));
                let told = catch_unwind(AssertUnwindSafe(|| work(index, item, &tell)));
                // Nobody listens any more only when the program is about to end.
                let _ = sender.send(Event::Work(told.unwrap_or(Work::Broke(index))));
            });
        }
    }

    /// The next result of a worker; progress and interrupts are dealt with on the way.
    fn next(&mut self, on_interrupt: fn(&mut Self) -> Result<(), Left>) -> Result<Work, Left> {
        loop {
            match self.events.recv() {
                Ok(Event::Work(Work::Progress(index, progress))) => self.progress(index, &progress),
                Ok(Event::Work(work)) => return Ok(work),
                Ok(Event::Interrupt) => on_interrupt(self)?,
                // Typed ahead: there is no question that it could answer.
                Ok(Event::Answer(_) | Event::EndOfInput) => {}
                // The run holds a sender itself, so this cannot come.
                Err(_) => return Err(Left(Status::Stuck)),
            }
        }
    }

    fn progress(&mut self, index: usize, progress: &Progress) {
        let node = &self.nodes[index];
        match progress {
            Progress::SessionsLeft(left) if self.options.keep_sessions => {
                self.report.warning(
                    node,
                    format!("{left} open sessions still reach it (--keep-sessions)"),
                );
            }
            Progress::SessionsLeft(left) => self.report.note(format!(
                "{node}: waiting for its sessions to end, {left} left"
            )),
            Progress::Retrying(why) => self.report.warning(node, format!("{why}; trying again")),
        }
    }

    /// Step 2: every node is checked, nothing is changed.
    fn prepare(&mut self) -> Result<Vec<Ready>, Left> {
        let options = self.options;
        self.start(
            self.nodes.clone().into_iter().enumerate(),
            move |index, node, _| Work::Prepared(index, Ready::prepare(&node, &options)),
        );
        let mut ready = BTreeMap::new();
        let mut failed = BTreeMap::new();
        while ready.len() + failed.len() < self.nodes.len() {
            // Nothing has been changed: there is nothing to wait for.
            match self.next(|_| Err(Left(Status::Interrupted)))? {
                Work::Prepared(index, Ok(node)) => drop(ready.insert(index, node)),
                Work::Prepared(index, Err(why)) => drop(failed.insert(index, why)),
                Work::Broke(index) => drop(failed.insert(index, BROKE.to_owned())),
                _ => {}
            }
        }
        let ready: Vec<Ready> = ready.into_values().collect();
        if failed.is_empty() {
            for (index, node) in ready.iter().enumerate() {
                if let Some(why) = ready[..index]
                    .iter()
                    .find_map(|earlier| node.conflict(earlier))
                {
                    failed.insert(index, why);
                }
            }
        }
        if failed.is_empty() {
            for node in &ready {
                for warning in &node.warnings {
                    self.report.warning(node.node(), warning);
                }
            }
            return Ok(ready);
        }
        for (index, why) in &failed {
            self.report.error(&self.nodes[*index], why);
        }
        self.report.note("nothing was changed on any node");
        Err(Left(Status::NotDone))
    }

    /// Step 3. The nodes that may be changed, and whether all of them are offline.
    fn take_offline(&mut self, ready: Vec<Ready>) -> Result<(Vec<(usize, Offline)>, bool), Left> {
        let count = ready.len();
        self.by_hand = ready.iter().map(Ready::by_hand).enumerate().collect();
        let stop = Arc::clone(&self.stop);
        self.start(ready.into_iter().enumerate(), move |index, node, tell| {
            Work::Taken(index, node.take_offline(&stop, tell))
        });
        let mut changed: Vec<(usize, Offline)> = Vec::new();
        let mut all_taken = true;
        for _ in 0..count {
            let work = self.next(Self::interrupt).inspect_err(|_| {
                for (_, node) in std::mem::take(&mut changed) {
                    node.abandon();
                }
            })?;
            match work {
                Work::Taken(index, Ok(node)) => {
                    self.report.offline(&self.nodes[index]);
                    changed.push((index, node));
                }
                Work::Taken(index, Err(failed)) => {
                    if let Some(why) = failed.error {
                        self.report.error(
                            &self.nodes[index],
                            format!("it could not be taken offline: {why}"),
                        );
                    }
                    changed.push((index, failed.offline));
                    all_taken = false;
                    self.stop.store(true, Ordering::SeqCst);
                }
                // Dropping its node has tried to bring it back, but nothing tells whether that worked.
                Work::Broke(index) => {
                    self.stuck(index, BROKE);
                    all_taken = false;
                }
                _ => {}
            }
        }
        Ok((changed, all_taken))
    }

    /// What an interrupt does while nodes go offline or come back.
    fn interrupt(&mut self) -> Result<(), Left> {
        if self.interrupted {
            self.report.general_error("left before every node was back");
            for (&index, statements) in &self.by_hand {
                self.report.by_hand(&self.nodes[index], statements);
            }
            return Err(Left(Status::Stuck));
        }
        self.interrupted = true;
        self.stop.store(true, Ordering::SeqCst);
        self.report
            .note("interrupted: bringing the nodes back (again: leave at once)");
        Ok(())
    }

    /// Step 4: until Y, an interrupt, or the end of input.
    fn hold(&mut self) -> Status {
        let answers = Answers::start(self.sender.clone());
        loop {
            self.report.prompt();
            answers.ask();
            match self.events.recv() {
                Ok(Event::Answer(answer)) => {
                    self.report.answered();
                    match answer.as_str() {
                        "Y" | "y" => return Status::Done,
                        "N" | "n" => self.report.stays_offline(),
                        _ => self.report.not_an_answer(),
                    }
                }
                Ok(Event::EndOfInput) => {
                    self.report.end_prompt();
                    self.report.general_error(
                        "standard input has ended, so nobody can answer: bringing the nodes back",
                    );
                    self.report.note(
                        "hint: run it in a terminal, or keep its input open for as long as the outage is to last: \
                         { sleep 30; echo Y; } | fail-start ...",
                    );
                    return Status::NotDone;
                }
                Ok(Event::Interrupt) => {
                    self.report.end_prompt();
                    // The first one: a second leaves only while something is under way.
                    let _ = self.interrupt();
                    return Status::Interrupted;
                }
                Ok(Event::Work(_)) => {}
                Err(_) => return Status::NotDone,
            }
        }
    }

    /// Step 5: all nodes at the same time; one that fails does not stop another.
    fn bring_back(&mut self, changed: Vec<(usize, Offline)>) -> Result<(), Left> {
        let count = changed.len();
        let mut summaries = BTreeMap::new();
        self.start(changed, |index, node, tell| {
            Work::Back(index, node.bring_back(tell))
        });
        for _ in 0..count {
            match self.next(Self::interrupt)? {
                Work::Back(index, Ok(back)) => {
                    self.by_hand.remove(&index);
                    let node = &self.nodes[index];
                    match back.offline_for {
                        Some(offline_for) => {
                            self.report.online(node);
                            summaries.insert(index, (offline_for, back));
                        }
                        None => self.report.note(format!("{node}: as it was")),
                    }
                }
                Work::Back(index, Err(why)) => self.stuck(index, &why.to_string()),
                Work::Broke(index) => self.stuck(index, BROKE),
                _ => {}
            }
        }
        for (index, (offline_for, back)) in summaries {
            self.report.summary(
                &self.nodes[index],
                offline_for,
                back.sessions_ended,
                back.turned_away,
            );
        }
        Ok(())
    }

    fn stuck(&mut self, index: usize, why: &str) {
        self.stuck = true;
        let node = &self.nodes[index];
        self.report
            .error(node, format!("it could not be brought back: {why}"));
        if let Some(statements) = self.by_hand.get(&index) {
            self.report.by_hand(node, statements);
        }
    }
}

const BROKE: &str = "fail-start itself broke down here (please report it)";
