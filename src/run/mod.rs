//! All named nodes together: the steps in their order, and what each node's outcome makes of the
//! whole. It knows every other wing; no other knows it.

mod command;
mod drill;
mod events;
mod held;
mod sets;
mod steps;
mod wait;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Result;

pub use self::drill::drill;

use self::command::{NotStarted, Running};
use self::events::{Event, interrupts};
use self::held::{Changed, Held};
use self::workers::{Ended, Workers};
use crate::config::Node;
use crate::exit_status::ExitStatus;
use crate::options::Options;
use crate::outage::hold::Back;
use crate::outage::plan::GRACE;
use crate::outage::progress::Progress;
use crate::outage::recover::{self, NodeStatus, OrphanedOutage, RecoverTarget};
use crate::outage::state::UndoEvent;
use crate::reason::{self, Reason};
use crate::report::Printer;
use crate::server::Failure;

/// Fails the nodes until Y is answered, or for a time, or while a command runs, if there is one. A
/// dry run checks everything and says what would be done, changing nothing.
///
/// # Errors
/// Where signals cannot be handled: nothing was touched.
pub fn fail(
    nodes: Vec<Node>,
    options: Options,
    command: &[OsString],
    printer: &mut Printer,
) -> Result<ExitStatus> {
    if let Err(not_started) = command::check(command) {
        return Ok(not_started.told(printer));
    }
    let mut run = Run::start(nodes, printer)?;
    run.printer.head(&run.nodes);
    if options.dry_run {
        let previewed = run.preview(options);
        return Ok(previewed.map_or_else(|Abort(status)| status, |()| ExitStatus::Done));
    }
    let status = run.outage(options, command);
    let status = status.unwrap_or_else(|Abort(status)| status);
    Ok(match command {
        [] => status,
        _ => status.instead_of_a_command(),
    })
}

/// Brings back the nodes that were left offline; those that were `named` also where nothing on them
/// says how they were.
///
/// # Errors
/// As [`fail`].
pub fn recover(
    nodes: Vec<Node>,
    named: bool,
    timeout: Duration,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let mut run = Run::start(nodes, printer)?;
    let status = run.recover(named, timeout);
    Ok(status.unwrap_or_else(|Abort(status)| status))
}

/// Says how the nodes stand.
///
/// # Errors
/// As [`fail`].
pub fn status(nodes: Vec<Node>, timeout: Duration, printer: &mut Printer) -> Result<ExitStatus> {
    let mut run = Run::start(nodes, printer)?;
    let status = run.status(timeout);
    Ok(status.unwrap_or_else(|Abort(status)| status))
}

/// What an interrupt does while the nodes are at work.
#[derive(Clone, Copy)]
enum OnInterrupt {
    /// Nothing has been changed: there is nothing to wait for.
    Leave,
    /// What has been changed is brought back first.
    Restore,
}

/// A step was left at once, with this status.
struct Abort(ExitStatus);

/// The named nodes, and what happens to them.
struct Run<'a> {
    /// The named nodes, in the order in which they were named.
    nodes: Vec<Arc<Node>>,
    /// Where everything is told.
    printer: &'a mut Printer,
    sender: Sender<Event>,
    events: Receiver<Event>,
    /// Since when, where a signal came that was not a command's alone.
    interrupted: Option<Instant>,
    /// Whether a signal ends more than the command that it reaches.
    is_drill: bool,
    /// The command that the outage lasts for, until its end was dealt with.
    running: Option<Running>,
    /// Whether a node could not be brought back.
    not_restored: bool,
    /// The warnings of nodes that were told before.
    warned: BTreeSet<(u32, Reason)>,
    /// Tells the workers to change nothing more.
    stop: Arc<AtomicBool>,
    /// What brings back each node that may be changed.
    by_hand: BTreeMap<u32, Vec<String>>,
}

impl<'a> Run<'a> {
    /// Nothing is done yet, but signals are listened to.
    fn start(nodes: Vec<Node>, printer: &'a mut Printer) -> Result<Self> {
        let (sender, events) = channel();
        interrupts(sender.clone())?;
        Ok(Self {
            nodes: nodes.into_iter().map(Arc::new).collect(),
            printer,
            sender,
            events,
            interrupted: None,
            is_drill: false,
            running: None,
            not_restored: false,
            warned: BTreeSet::new(),
            stop: Arc::new(AtomicBool::new(false)),
            by_hand: BTreeMap::new(),
        })
    }

    /// The named node of this number.
    fn node(&self, number: u32) -> Arc<Node> {
        let node = self.nodes.iter().find(|node| node.number == number);
        Arc::clone(node.expect("only named nodes are worked on"))
    }

    /// The numbers of all named nodes.
    fn all(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.number).collect()
    }

    fn outage(&mut self, options: Options, command: &[OsString]) -> Result<ExitStatus, Abort> {
        let held = self.begin(&self.all(), options)?;
        let outcome = match (held.is_complete, self.interrupted.is_some()) {
            (_, true) => ExitStatus::Interrupted,
            (false, false) => ExitStatus::Failed,
            // Whatever breaks down, the nodes come back as after any other end.
            (true, false) => catch_unwind(AssertUnwindSafe(|| {
                match (command.is_empty(), held.deadline) {
                    (false, deadline) => self.hold_while_it_runs(command, deadline),
                    (true, None) => self.hold_until_answered(),
                    (true, Some(deadline)) => self.hold_until(deadline),
                }
            }))
            .unwrap_or(ExitStatus::Panicked),
        };
        for (number, back) in self.end(held)? {
            self.printer.summary(&self.node(number), &back);
        }
        let outcome = match self.running {
            // The deadline came first.
            Some(_) => self.wait_for_command(None),
            None => outcome,
        };
        Ok(self.status_after(outcome))
    }

    /// Checks these nodes and takes them offline.
    fn begin(&mut self, numbers: &[u32], options: Options) -> Result<Held, Abort> {
        let ready = self.prepare(numbers, options)?;
        let began = Instant::now();
        let (changed, is_complete) = self.take_down(ready)?;
        // From now on, unless it took so long to get here that the servers would be first.
        let deadline = options
            .hold_for
            .map(|held| (Instant::now() + held).min(began + held + GRACE / 2));
        Ok(Held {
            changed,
            is_complete,
            deadline,
        })
    }

    /// Brings the nodes back, and returns what the outage did to each.
    fn end(&mut self, mut held: Held) -> Result<BTreeMap<u32, Back>, Abort> {
        let mut changed = std::mem::take(&mut held.changed);
        changed.values_mut().for_each(Changed::comes_back);
        self.restore(changed, Changed::restore)
    }

    /// Checks all nodes and says what would be done to each.
    fn preview(&mut self, options: Options) -> Result<(), Abort> {
        for node in self.prepare(&self.all(), options)? {
            self.printer.preview(node.node(), &node.preview());
        }
        Ok(())
    }

    fn status(&mut self, timeout: Duration) -> Result<ExitStatus, Abort> {
        let workers = self.work(self.named(), move |node, on_progress| {
            recover::status(&node, timeout, on_progress)
        });
        let found = self.results(workers)?;
        let mut status = ExitStatus::Done;
        for node in &self.nodes {
            let standing = &found[&node.number];
            self.printer.standing(node, standing);
            if !matches!(standing, Ok(NodeStatus::Online(_))) {
                status = ExitStatus::Failed;
            }
        }
        Ok(status)
    }

    fn recover(&mut self, named: bool, timeout: Duration) -> Result<ExitStatus, Abort> {
        let mut elsewhere = self.recover_some(self.named(), named, timeout)?;
        if !elsewhere.is_empty() {
            // What they were locked for may be back now.
            let again = elsewhere.keys().map(|&number| (number, self.node(number)));
            elsewhere = self.recover_some(again.collect(), named, timeout)?;
        }
        for (number, found) in elsewhere {
            if named {
                self.not_restored(number, found.elsewhere().into());
            } else {
                let standing = NodeStatus::LockedElsewhere(found);
                self.printer.standing(&self.node(number), &Ok(standing));
            }
        }
        Ok(self.status_after(ExitStatus::Done))
    }

    /// Brings back which of these nodes there are to bring back; returns those that are locked for
    /// another one on their server.
    fn recover_some(
        &mut self,
        nodes: BTreeMap<u32, Arc<Node>>,
        named: bool,
        timeout: Duration,
    ) -> Result<BTreeMap<u32, UndoEvent>, Abort> {
        let workers = self.work(nodes, move |node, on_progress| {
            recover::find(&node, timeout, named, on_progress)
        });
        let (mut lost, mut elsewhere) = (BTreeMap::new(), BTreeMap::new());
        for (number, found) in self.results(workers)? {
            match found {
                Ok(RecoverTarget::OrphanedOutage(found)) => {
                    self.by_hand.insert(number, found.by_hand());
                    lost.insert(number, *found);
                }
                Ok(RecoverTarget::LockedElsewhere(found)) => {
                    elsewhere.insert(number, *found);
                }
                Ok(RecoverTarget::Online) => {
                    let online = Ok(NodeStatus::Online(None));
                    self.printer.standing(&self.node(number), &online);
                }
                Ok(RecoverTarget::NotOurs(standing)) => {
                    self.printer.standing(&self.node(number), &Ok(*standing));
                }
                Err(why) => self.not_restored(number, why),
            }
        }
        let places: Vec<_> = lost.values().map(OrphanedOutage::place).collect();
        for found in lost.values_mut() {
            found.leaves(&places);
        }
        self.restore(lost, OrphanedOutage::bring_back)?;
        Ok(elsewhere)
    }

    /// What the outcome comes to, after what happened on the way back.
    fn status_after(&self, outcome: ExitStatus) -> ExitStatus {
        match outcome {
            _ if self.not_restored => ExitStatus::NotRestored,
            ExitStatus::Done if self.interrupted.is_some() => ExitStatus::Interrupted,
            outcome => outcome,
        }
    }

    /// Every named node, with its number.
    fn named(&self) -> BTreeMap<u32, Arc<Node>> {
        let nodes = self.nodes.iter();
        nodes.map(|node| (node.number, Arc::clone(node))).collect()
    }

    /// Works on each item, which belongs to the node of that number.
    fn work<I: Send + 'static, T: Send + 'static>(
        &self,
        items: BTreeMap<u32, I>,
        work: impl Fn(I, &dyn Fn(Progress)) -> T + Clone + Send + 'static,
    ) -> Workers<T> {
        Workers::start(items, &self.sender, work)
    }

    /// What the workers of a step that changes nothing come to.
    fn results<T: Send + 'static>(
        &mut self,
        mut workers: Workers<Result<T, Failure>>,
    ) -> Result<BTreeMap<u32, Result<T, Failure>>, Abort> {
        let mut results = BTreeMap::new();
        while let Some((number, outcome)) = self.next(&mut workers, OnInterrupt::Leave)? {
            results.insert(number, outcome.or_problem());
        }
        Ok(results)
    }

    /// The next node whose worker has ended, and what it came to; nothing when all have. Progress
    /// and signals are dealt with on the way.
    fn next<T: Send + 'static>(
        &mut self,
        workers: &mut Workers<T>,
        on_interrupt: OnInterrupt,
    ) -> Result<Option<(u32, Ended<T>)>, Abort> {
        while !workers.is_empty() {
            if let Some(ended) = workers.given_up() {
                return Ok(Some(ended));
            }
            match self.events.recv_timeout(Duration::from_secs(1)) {
                Ok(Event::WorkerEnded) => {
                    if let Some(ended) = workers.ended() {
                        return Ok(Some(ended));
                    }
                }
                Ok(Event::Progress(number, progress)) => self.progress(number, &progress),
                Ok(Event::Interrupt(interrupt)) => {
                    self.forward(interrupt);
                    match on_interrupt {
                        OnInterrupt::Leave => return Err(Abort(ExitStatus::Interrupted)),
                        OnInterrupt::Restore => self.interrupt()?,
                    }
                }
                Ok(Event::ChildEnded(child, status)) => self.child_ended(child, status),
                // Typed ahead: there is no question that it could answer.
                Ok(Event::Answer(_) | Event::EndOfInput | Event::Foreground) => {}
                Err(RecvTimeoutError::Timeout) => self.say_what_is_waited_for(workers),
                // The run holds a sender itself, so this cannot come.
                Err(RecvTimeoutError::Disconnected) => return Err(Abort(ExitStatus::NotRestored)),
            }
        }
        Ok(None)
    }

    fn say_what_is_waited_for<T: Send + 'static>(&mut self, workers: &Workers<T>) {
        let (numbers, since) = workers.running();
        if let Some(since) = since {
            let nodes: Vec<Arc<Node>> = numbers.iter().map(|&number| self.node(number)).collect();
            let nodes: Vec<&Node> = nodes.iter().map(|node| &**node).collect();
            self.printer.waiting(&nodes, since.elapsed());
        }
    }

    fn progress(&mut self, number: u32, progress: &Progress) {
        let node = self.node(number);
        match progress {
            Progress::SessionsLeft(left) => self.printer.note(format!(
                "{node}: waiting for its sessions to end, {left} left"
            )),
            Progress::Warning(reason) => self.printer.warning(&node, reason),
            Progress::WarningOnce(reason) => self.warn_once(&node, reason),
            Progress::TurnedAway(count, server) => {
                self.printer.turned_away(&node, server, *count);
            }
        }
    }
}

impl<T> Ended<Result<T, Failure>> {
    /// Its result, or the problem that there is none.
    fn or_problem(self) -> Result<T, Failure> {
        match self {
            Self::Done(result) => result,
            Self::Panicked | Self::TimedOut => Err(reason::broke_down_here().into()),
        }
    }
}

impl NotStarted {
    /// Tells why, and returns the status for it.
    fn told(self, printer: &mut Printer) -> ExitStatus {
        printer.general_error(&self.why);
        ExitStatus::Command(self.status)
    }
}
