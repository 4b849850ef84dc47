//! The steps, for all named nodes together: prepare, take offline, hold, bring back, and what each node's outcome makes of
//! the whole; `status` and `recover` too.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Pid;

use crate::command::{self, NotStarted, Output, Running, Stand, Surroundings, TIME_TO_END};
use crate::config::Node;
use crate::hold::{Answers, Event, Interrupt, ONE_INTERRUPT, interrupts};
use crate::node::{Error, Problem, in_words};
use crate::outage::{Back, Failed, Offline, RESTORE_RETRY_FOR};
use crate::plan::{GRACE, Options};
use crate::prepare::Ready;
use crate::progress::Progress;
use crate::recover::{self, Find, Standing};
use crate::report::Report;

/// The exit statuses; [`Status::Stuck`] outranks all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done, and every node is back.
    Done,
    /// The nodes could not be taken offline, or nobody could answer; whatever had been changed is put back. Or a node is
    /// not online, when only that was asked.
    NotDone,
    /// Wrong arguments or configuration; nothing was touched.
    Usage,
    /// A node could not be brought back.
    Stuck,
    /// Interrupted, and every node is back.
    Interrupted,
    /// fail-start itself broke down, and every node is back.
    Broke,
    /// The status of the command that the outage lasted for, or one that stands for it.
    Command(u8),
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Done => 0,
            Status::NotDone => 1,
            Status::Usage => 2,
            Status::Stuck => 3,
            Status::Interrupted => 130,
            Status::Broke => 101,
            Status::Command(status) => status,
        })
    }
}

/// What the worker of a node tells, by the node's place among the named ones.
pub enum Work {
    /// It has checked the node.
    Prepared(usize, Result<Ready, Problem>),
    /// It has taken the node offline.
    Taken(usize, Result<Offline, Box<Failed>>),
    /// It has brought the node back.
    Back(usize, Result<Back, Error>),
    /// It has looked for what was left on the node.
    Found(usize, Result<Find, Problem>),
    /// It has looked how the node stands.
    Stands(usize, Result<Standing, Problem>),
    /// It goes on.
    Progress(usize, Progress),
    /// The worker itself broke down.
    Broke(usize),
    /// The worker has not ended in time.
    Late(usize),
}

impl Work {
    fn index(&self) -> usize {
        match self {
            Self::Prepared(index, _)
            | Self::Taken(index, _)
            | Self::Back(index, _)
            | Self::Found(index, _)
            | Self::Stands(index, _)
            | Self::Progress(index, _)
            | Self::Broke(index)
            | Self::Late(index) => *index,
        }
    }
}

/// Fails the nodes until Y is answered, or for a time, or while a command runs, if there is one.
///
/// # Errors
/// Where signals cannot be handled: nothing was touched.
pub fn fail(
    nodes: Vec<Node>,
    options: Options,
    command: &[OsString],
    report: &mut Report,
) -> Result<Status> {
    if let Err(not_started) = command::check(command) {
        return Ok(not_started.told(report));
    }
    let mut run = Run::start(nodes, report)?;
    run.report.head(&run.nodes);
    let status = run.outage(options, command);
    Ok(match status.unwrap_or_else(|Left(status)| status) {
        // 1 may be the command's own.
        Status::NotDone if !command.is_empty() => Status::Command(NOT_TAKEN),
        status => status,
    })
}

/// The status where a command was to run and the nodes could not be taken offline, as `timeout` has it for its own errors.
pub const NOT_TAKEN: u8 = 125;

impl NotStarted {
    /// Tells why, and returns the status for it.
    pub fn told(&self, report: &mut Report) -> Status {
        report.general_error(&self.why);
        Status::Command(self.status)
    }
}

/// Brings back the nodes that were left offline; those that were `named` also where nothing on them says how they were.
///
/// # Errors
/// As [`fail`].
pub fn recover(
    nodes: Vec<Node>,
    named: bool,
    timeout: Duration,
    report: &mut Report,
) -> Result<Status> {
    let mut run = Run::start(nodes, report)?;
    Ok(run
        .recover(named, timeout)
        .unwrap_or_else(|Left(status)| status))
}

/// Checks everything and says what would be done, changing nothing.
///
/// # Errors
/// As [`fail`].
pub fn dry_run(nodes: Vec<Node>, options: Options, report: &mut Report) -> Result<Status> {
    let mut run = Run::start(nodes, report)?;
    run.report.head(&run.nodes);
    Ok(run
        .preview(options)
        .map_or_else(|Left(status)| status, |()| Status::Done))
}

/// Says how the nodes stand.
///
/// # Errors
/// As [`fail`].
pub fn status(nodes: Vec<Node>, timeout: Duration, report: &mut Report) -> Result<Status> {
    let mut run = Run::start(nodes, report)?;
    Ok(run.status(timeout).unwrap_or_else(|Left(status)| status))
}

/// How one node is brought back.
type BringBack<T> = fn(T, &dyn Fn(Progress)) -> Result<Back, Error>;

/// When a node that is not back is given up: a little after the last try has begun.
const GIVE_UP_AFTER: Duration = RESTORE_RETRY_FOR.saturating_add(Duration::from_secs(2));

/// A step was left at once, with this status.
pub struct Left(pub Status);

/// The nodes that are offline, and some that may be changed.
pub struct Outage {
    /// The nodes that must be brought back, each with its place among the named ones.
    changed: Vec<(usize, Offline)>,
    /// Whether all that were to be taken offline are.
    pub all_taken: bool,
    /// When they are to come back at the latest.
    pub deadline: Option<Instant>,
}

impl Drop for Outage {
    /// After a panic: all of them at once, since one that is gone is tried for long.
    fn drop(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        thread::scope(|scope| {
            for (_, node) in changed {
                scope.spawn(move || drop(node));
            }
        });
    }
}

/// The named nodes, and what happens to them.
pub struct Run<'a> {
    /// The named nodes. A place is an index of it.
    pub nodes: Vec<Arc<Node>>,
    /// Where everything is told.
    pub report: &'a mut Report,
    sender: Sender<Event<Work>>,
    events: Receiver<Event<Work>>,
    /// Since when, where a signal came that was not a command's alone.
    pub interrupted: Option<Instant>,
    /// Whether a signal ends more than the command that it reaches.
    is_drill: bool,
    /// The command that the outage lasts for, until its end was dealt with.
    pub running: Option<Running>,
    /// Whether a node could not be brought back.
    pub stuck: bool,
    /// The warnings of nodes that were told before.
    told: BTreeSet<(usize, String)>,
    /// Tells the workers to change nothing more.
    stop: Arc<AtomicBool>,
    /// What brings back each node that may be changed.
    by_hand: BTreeMap<usize, Vec<String>>,
    /// The nodes whose worker has not ended, and since when it has been at work.
    pending: BTreeMap<usize, Instant>,
    /// When the nodes that are not back are given up, if they are being brought back.
    give_up_at: Option<Instant>,
    /// Those that were: their workers may still try.
    given_up: BTreeSet<usize>,
}

impl<'a> Run<'a> {
    /// Nothing is done yet, but signals are listened to.
    ///
    /// # Errors
    /// As [`fail`].
    pub fn start(nodes: Vec<Node>, report: &'a mut Report) -> Result<Self> {
        let (sender, events) = channel();
        interrupts(sender.clone())?;
        Ok(Self {
            nodes: nodes.into_iter().map(Arc::new).collect(),
            report,
            sender,
            events,
            interrupted: None,
            is_drill: false,
            running: None,
            stuck: false,
            told: BTreeSet::new(),
            stop: Arc::new(AtomicBool::new(false)),
            by_hand: BTreeMap::new(),
            pending: BTreeMap::new(),
            give_up_at: None,
            given_up: BTreeSet::new(),
        })
    }

    /// The same, for a drill: a signal ends all of it.
    ///
    /// # Errors
    /// As [`fail`].
    pub fn start_drill(nodes: Vec<Node>, report: &'a mut Report) -> Result<Self> {
        Ok(Self {
            is_drill: true,
            ..Self::start(nodes, report)?
        })
    }

    fn outage(&mut self, options: Options, command: &[OsString]) -> Result<Status, Left> {
        let outage = self.begin(&self.all(), options)?;
        let outcome = match (outage.all_taken, self.interrupted.is_some()) {
            (_, true) => Status::Interrupted,
            (false, false) => Status::NotDone,
            // Whatever breaks down, the nodes come back as after any other end.
            (true, false) => catch_unwind(AssertUnwindSafe(|| {
                match (command.is_empty(), outage.deadline) {
                    (false, deadline) => self.hold_command(command, deadline),
                    (true, None) => self.hold(),
                    (true, Some(deadline)) => self.hold_until(deadline),
                }
            }))
            .unwrap_or(Status::Broke),
        };
        for (index, back) in self.end(outage)? {
            self.report.summary(&self.nodes[index], &back);
        }
        let outcome = match self.running {
            // The deadline came first.
            Some(_) => self.attend(None),
            None => outcome,
        };
        Ok(self.status_after(outcome))
    }

    /// The places of all named nodes.
    pub fn all(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }

    /// Checks the nodes at these places and takes them offline.
    ///
    /// # Errors
    /// Where a check fails, or it was left: there is nothing to bring back.
    pub fn begin(&mut self, places: &[usize], options: Options) -> Result<Outage, Left> {
        let ready = self.prepare(places, options)?;
        let began = Instant::now();
        let (changed, all_taken) = self.take_offline(ready)?;
        // From now on, unless it took so long to get here that the servers would be first.
        let deadline = options
            .hold_for
            .map(|held| (Instant::now() + held).min(began + held + GRACE / 2));
        Ok(Outage {
            changed,
            all_taken,
            deadline,
        })
    }

    /// Brings the nodes back, and returns what the outage did to each.
    ///
    /// # Errors
    /// Where it was left before every node was back.
    pub fn end(&mut self, mut outage: Outage) -> Result<BTreeMap<usize, Back>, Left> {
        let changed = std::mem::take(&mut outage.changed);
        self.bring_back(changed, Offline::bring_back)
    }

    /// Checks all nodes and says what would be done to each.
    ///
    /// # Errors
    /// Where a check fails, or it was left.
    pub fn preview(&mut self, options: Options) -> Result<(), Left> {
        for (_, node) in self.prepare(&self.all(), options)? {
            self.report.preview(node.node(), &node.preview());
        }
        Ok(())
    }

    fn status(&mut self, timeout: Duration) -> Result<Status, Left> {
        self.work(
            self.nodes.clone().into_iter().enumerate(),
            move |index, node, _| Work::Stands(index, recover::status(&node, timeout)),
        );
        let mut stands = BTreeMap::new();
        while stands.len() < self.nodes.len() {
            match self.next(|_| Err(Left(Status::Interrupted)))? {
                Work::Stands(index, standing) => drop(stands.insert(index, standing)),
                Work::Broke(index) => drop(stands.insert(index, Err(broke()))),
                _ => {}
            }
        }
        let mut status = Status::Done;
        for (index, standing) in stands {
            self.report.standing(&self.nodes[index], &standing);
            if !matches!(standing, Ok(Standing::Online(_))) {
                status = Status::NotDone;
            }
        }
        Ok(status)
    }

    fn recover(&mut self, named: bool, timeout: Duration) -> Result<Status, Left> {
        self.work(
            self.nodes.clone().into_iter().enumerate(),
            move |index, node, tell| Work::Found(index, recover::find(&node, timeout, named, tell)),
        );
        let mut lost = Vec::new();
        for _ in 0..self.nodes.len() {
            // Nothing has been changed: there is nothing to wait for.
            match self.next(|_| Err(Left(Status::Interrupted)))? {
                Work::Found(index, Ok(Find::Lost(found))) => {
                    self.by_hand.insert(index, found.by_hand());
                    lost.push((index, *found));
                }
                Work::Found(index, Ok(Find::Online)) => {
                    self.report
                        .standing(&self.nodes[index], &Ok(Standing::Online(None)));
                }
                Work::Found(index, Ok(Find::NotOurs(standing))) => {
                    self.report.standing(&self.nodes[index], &Ok(*standing));
                }
                Work::Found(index, Err(why)) => self.stuck(index, &why),
                Work::Broke(index) => self.stuck(index, &broke()),
                _ => {}
            }
        }
        self.bring_back(lost, recover::Lost::bring_back)?;
        Ok(self.status_after(Status::Done))
    }

    /// What the outcome comes to, after what happened on the way back.
    fn status_after(&self, outcome: Status) -> Status {
        match outcome {
            _ if self.stuck => Status::Stuck,
            Status::Done if self.interrupted.is_some() => Status::Interrupted,
            outcome => outcome,
        }
    }

    /// Runs `work` for each item in a thread of its own; what it returns comes as an event.
    fn work<T: Send + 'static>(
        &mut self,
        items: impl IntoIterator<Item = (usize, T)>,
        work: impl Fn(usize, T, &dyn Fn(Progress)) -> Work + Clone + Send + 'static,
    ) {
        for (index, item) in items {
            self.pending.insert(index, Instant::now());
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
            match self.events.recv_timeout(Duration::from_secs(1)) {
                Ok(Event::Work(Work::Progress(index, progress))) => self.progress(index, &progress),
                // Whoever was given up is told already.
                Ok(Event::Work(work)) if self.given_up.contains(&work.index()) => {}
                Ok(Event::Work(work)) => {
                    self.pending.remove(&work.index());
                    return Ok(work);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(index) = self.late() {
                        return Ok(Work::Late(index));
                    }
                    let late = self.pending.keys().map(|&index| &*self.nodes[index]);
                    let since = self.pending.values().min();
                    if let Some(since) = since {
                        self.report
                            .waiting(&late.collect::<Vec<_>>(), since.elapsed());
                    }
                }
                Ok(Event::Interrupt(interrupt)) => {
                    self.pass_on(interrupt);
                    on_interrupt(self)?;
                }
                Ok(Event::ChildEnded(child, status)) => self.child_ended(child, status),
                // Typed ahead: there is no question that it could answer.
                Ok(Event::Answer(_) | Event::EndOfInput | Event::Foreground) => {}
                // The run holds a sender itself, so this cannot come.
                Err(RecvTimeoutError::Disconnected) => return Err(Left(Status::Stuck)),
            }
        }
    }

    /// A node that has had all the time that there is to bring it back.
    fn late(&mut self) -> Option<usize> {
        self.give_up_at.filter(|at| *at <= Instant::now())?;
        let (index, _) = self.pending.pop_first()?;
        self.given_up.insert(index);
        Some(index)
    }

    fn progress(&mut self, index: usize, progress: &Progress) {
        let node = &self.nodes[index];
        match progress {
            Progress::SessionsKept(left) => self.report.warning(
                node,
                match left {
                    1 => "1 open session still reaches it (--keep-sessions)".to_owned(),
                    left => format!("{left} open sessions still reach it (--keep-sessions)"),
                },
            ),
            Progress::SessionsLeft(left) => self.report.note(format!(
                "{node}: waiting for its sessions to end, {left} left"
            )),
            Progress::Retrying(why) => self.report.warning(node, format!("{why}; trying again")),
            Progress::Warning(text) => self.report.warning(node, text),
            Progress::TurnedAway(count) => self.report.turned_away(node, *count),
        }
    }

    /// Step 2: every node at these places is checked, nothing is changed.
    ///
    /// # Errors
    /// Where a check fails, or it was left.
    pub fn prepare(
        &mut self,
        places: &[usize],
        options: Options,
    ) -> Result<Vec<(usize, Ready)>, Left> {
        let nodes: Vec<(usize, Arc<Node>)> = places
            .iter()
            .map(|&index| (index, Arc::clone(&self.nodes[index])))
            .collect();
        self.work(nodes, move |index, node, _| {
            Work::Prepared(index, Ready::prepare(&node, &options))
        });
        let mut ready = BTreeMap::new();
        let mut failed = BTreeMap::new();
        while ready.len() + failed.len() < places.len() {
            // Nothing has been changed: there is nothing to wait for.
            match self.next(|_| Err(Left(Status::Interrupted)))? {
                Work::Prepared(index, Ok(node)) => drop(ready.insert(index, node)),
                Work::Prepared(index, Err(why)) => drop(failed.insert(index, why)),
                Work::Broke(index) => drop(failed.insert(index, broke())),
                _ => {}
            }
        }
        let mut ready: Vec<(usize, Ready)> = ready.into_iter().collect();
        if failed.is_empty() {
            for at in 0..ready.len() {
                let (earlier, rest) = ready.split_at_mut(at);
                let (index, node) = &mut rest[0];
                if let Some(why) = earlier
                    .iter()
                    .find_map(|(_, earlier)| node.conflict(earlier))
                {
                    failed.insert(*index, why.into());
                }
            }
        }
        if failed.is_empty() {
            let taken = ready.iter();
            let taken = taken.filter_map(|(index, node)| Some((*index, node.is_taken()?.into())));
            failed.extend(taken);
        }
        if failed.is_empty() {
            for (index, node) in &ready {
                for warning in &node.warnings {
                    if self.told.insert((*index, warning.clone())) {
                        self.report.warning(node.node(), warning);
                    }
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
    fn take_offline(
        &mut self,
        ready: Vec<(usize, Ready)>,
    ) -> Result<(Vec<(usize, Offline)>, bool), Left> {
        let count = ready.len();
        let by_hand = ready.iter().map(|(index, node)| (*index, node.by_hand()));
        self.by_hand.extend(by_hand);
        // Not the one of an earlier outage, which may have been stopped.
        self.stop = Arc::new(AtomicBool::new(self.interrupted.is_some()));
        let stop = Arc::clone(&self.stop);
        self.work(ready, move |index, node, tell| {
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
                Work::Taken(index, Ok(mut node)) => {
                    self.report.offline(&self.nodes[index], &node.taken());
                    let sender = self.sender.clone();
                    node.watch(move |progress| {
                        // Nobody listens any more only when the program is about to end.
                        let _ = sender.send(Event::Work(Work::Progress(index, progress)));
                    });
                    changed.push((index, node));
                }
                Work::Taken(index, Err(failed)) => {
                    if let Some(why) = failed.error {
                        let why = why.told_as(format_args!("could not be taken offline: {why}"));
                        self.report.error(&self.nodes[index], &why);
                    }
                    if failed.offline.is_changed() {
                        changed.push((index, failed.offline));
                    } else {
                        self.by_hand.remove(&index);
                    }
                    all_taken = false;
                    self.stop.store(true, Ordering::SeqCst);
                }
                // Dropping its node has tried to bring it back, but nothing tells whether that worked.
                Work::Broke(index) => {
                    self.stuck(index, &broke());
                    all_taken = false;
                }
                _ => {}
            }
        }
        Ok((changed, all_taken))
    }

    /// What an interrupt does while nodes go offline or come back.
    fn interrupt(&mut self) -> Result<(), Left> {
        if let Some(first) = self.interrupted {
            if first.elapsed() < ONE_INTERRUPT {
                return Ok(());
            }
            self.report.general_error("left before every node was back");
            for (&index, statements) in &self.by_hand {
                self.report.by_hand(&self.nodes[index], statements);
            }
            return Err(Left(Status::Stuck));
        }
        self.interrupted = Some(Instant::now());
        self.stop.store(true, Ordering::SeqCst);
        self.report
            .note("interrupted: bringing the nodes back (Ctrl-C again leaves at once)");
        Ok(())
    }

    /// Step 4: until Y, an interrupt, or the end of input.
    fn hold(&mut self) -> Status {
        let answers = Answers::start(self.sender.clone());
        self.report.prompt();
        answers.ask();
        loop {
            match self.events.recv() {
                Ok(Event::Answer(answer)) => {
                    self.report.answered();
                    match answer.to_lowercase().as_str() {
                        "y" | "yes" => return Status::Done,
                        // Nothing else can be made to: tests see that a panic, too, brings the nodes back.
                        #[cfg(debug_assertions)]
                        "panic" => panic!("as it was told"),
                        "n" | "no" => self.report.stays_offline(),
                        _ => self.report.not_an_answer(),
                    }
                    self.report.prompt();
                    answers.ask();
                }
                Ok(Event::EndOfInput) => {
                    self.report.end_prompt();
                    self.report.general_error(
                        "standard input has ended, so nobody can answer: bringing the nodes back",
                    );
                    self.report
                        .note("hint: run it in a terminal, or say how long the outage is to last: --for 30s, or -- COMMAND");
                    return Status::NotDone;
                }
                Ok(Event::Interrupt(_)) => {
                    self.report.end_prompt();
                    return self.interrupted_while_held();
                }
                Ok(Event::Foreground) => self.report.prompt(),
                Ok(Event::Work(work)) => self.watched(&work),
                Ok(Event::ChildEnded(..)) => {}
                Err(_) => return Status::NotDone,
            }
        }
    }

    /// What the watch over a node tells while the nodes are held.
    fn watched(&mut self, work: &Work) {
        if let Work::Progress(index, progress) = work {
            self.progress(*index, progress);
        }
    }

    fn interrupted_while_held(&mut self) -> Status {
        // The first one: a second leaves only while something is under way.
        let _ = self.interrupt();
        Status::Interrupted
    }

    /// Step 4, where nobody is asked: until the deadline or an interrupt.
    fn hold_until(&mut self, deadline: Instant) -> Status {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Status::Done;
            }
            self.report.time_left(left);
            let next_second = Duration::from_nanos(u64::from(left.subsec_nanos()).max(1));
            match self.events.recv_timeout(next_second) {
                Ok(Event::Interrupt(_)) => return self.interrupted_while_held(),
                Ok(Event::Work(work)) => self.watched(&work),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Status::NotDone,
            }
        }
    }

    /// Step 4, for a command: until its end or the deadline.
    fn hold_command(&mut self, command: &[OsString], deadline: Option<Instant>) -> Status {
        let numbers: Vec<String> = self
            .nodes
            .iter()
            .map(|node| node.number.to_string())
            .collect();
        let surroundings = Surroundings {
            nodes: &numbers.join(","),
            phase: None,
            output: Output::Own,
        };
        match self.start_command(command, surroundings) {
            Ok(()) => self.attend(deadline),
            Err(not_started) => not_started.told(self.report),
        }
    }

    /// Starts the command, which is then [attended](Self::attend).
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start_command(
        &mut self,
        command: &[OsString],
        surroundings: Surroundings,
    ) -> Result<(), NotStarted> {
        let running = Running::start(command, surroundings, self.sender.clone())
            .map_err(|error| NotStarted::because(command, &error))?;
        self.running = Some(running);
        Ok(())
    }

    /// Waits for the command's end, and no longer than until the deadline.
    pub fn attend(&mut self, deadline: Option<Instant>) -> Status {
        loop {
            let now = Instant::now();
            let stand = self.running.as_mut().map(Running::stand);
            let look_at = match stand {
                Some(Stand::Ended(status)) => {
                    self.running = None;
                    return Status::Command(status);
                }
                Some(Stand::Unending(status)) => {
                    self.running = None;
                    self.report
                        .note("something that the command has started could not be ended");
                    return Status::Command(status);
                }
                Some(Stand::Forced) => {
                    self.report.note(format!(
                        "the command has not ended within {}: ending it by force",
                        in_words(TIME_TO_END)
                    ));
                    continue;
                }
                Some(Stand::Runs(_)) if deadline.is_some_and(|deadline| deadline <= now) => {
                    return Status::Done;
                }
                Some(Stand::Runs(look_at)) => look_at,
                None => return Status::Done,
            };
            let next = [deadline, look_at].into_iter().flatten().min();
            let wait = next.map_or(Duration::MAX, |next| next.saturating_duration_since(now));
            match self.events.recv_timeout(wait) {
                Ok(Event::Interrupt(interrupt)) => self.pass_on(interrupt),
                Ok(Event::ChildEnded(child, status)) => self.child_ended(child, status),
                Ok(Event::Work(work)) => self.watched(&work),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Status::NotDone,
            }
        }
    }

    /// Passes a signal on to the command, if one is running. Unless it ends a drill it is no interrupt of fail-start's own: a
    /// second one does not leave before the nodes are back.
    fn pass_on(&mut self, interrupt: Interrupt) {
        let Some(running) = &mut self.running else {
            return;
        };
        let passed_on = running.pass_on(interrupt);
        if self.is_drill {
            match self.interrupted {
                None => {
                    self.interrupted = Some(Instant::now());
                    running.must_end();
                    self.report.note(
                        "interrupted: waiting for the command to end (again: end it by force)",
                    );
                }
                Some(first) if first.elapsed() < ONE_INTERRUPT => {}
                Some(_) => {
                    running.force();
                    self.report.note("ending the command by force");
                }
            }
        } else if passed_on {
            self.report
                .note("interrupted: waiting for the command to end");
        }
    }

    fn child_ended(&mut self, child: Pid, status: ExitStatus) {
        if let Some(running) = &mut self.running {
            running.has_ended(child, status);
        }
    }

    /// Ends the command and all that it has started, as a SIGTERM does, and waits for that.
    pub fn end_command(&mut self) {
        if let Some(running) = &mut self.running {
            running.pass_on(Interrupt::Term);
            self.attend(None);
        }
    }

    /// Waits a moment for the signal that has ended a command, where one may have: it was meant for the drill, too.
    pub fn await_interrupt(&mut self) {
        let until = Instant::now() + Duration::from_millis(100);
        while self.interrupted.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Interrupt(_)) => self.interrupted = Some(Instant::now()),
                Ok(Event::Work(work)) => self.watched(&work),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }

    /// Step 5: all nodes at the same time; one that fails does not stop another.
    fn bring_back<T: Send + 'static>(
        &mut self,
        changed: Vec<(usize, T)>,
        bring_back: BringBack<T>,
    ) -> Result<BTreeMap<usize, Back>, Left> {
        let count = changed.len();
        let mut summaries = BTreeMap::new();
        self.give_up_at = Some(Instant::now() + GIVE_UP_AFTER);
        self.work(changed, move |index, node, tell| {
            Work::Back(index, bring_back(node, tell))
        });
        for _ in 0..count {
            match self.next(Self::interrupt)? {
                Work::Back(index, Ok(back)) => {
                    self.by_hand.remove(&index);
                    let node = &self.nodes[index];
                    if back.was_offline {
                        self.report.online(node, &back);
                        summaries.insert(index, back);
                    } else {
                        self.report.note(format!("{node}: as it was"));
                    }
                }
                Work::Back(index, Err(why)) => {
                    if matches!(why, Error::Refused(_)) {
                        // What is in the way is not that it cannot be reached: to run them would do harm, or nothing.
                        self.by_hand.remove(&index);
                    }
                    self.stuck(index, &why.into());
                }
                Work::Broke(index) => self.stuck(index, &broke()),
                Work::Late(index) => {
                    let why = format!(
                        "nothing was heard of it for {}",
                        in_words(RESTORE_RETRY_FOR)
                    );
                    self.stuck(index, &why.into());
                }
                _ => {}
            }
        }
        self.give_up_at = None;
        Ok(summaries)
    }

    fn stuck(&mut self, index: usize, why: &Problem) {
        self.stuck = true;
        let node = &self.nodes[index];
        let why = why.told_as(format_args!("not back: {why}"));
        self.report.error(node, &why);
        if let Some(statements) = self.by_hand.get(&index) {
            self.report.by_hand(node, statements);
        }
    }
}

fn broke() -> Problem {
    Problem::from("fail-start itself broke down here (please report it)".to_owned())
}
