//! Every line that a person or a program reads. Results go to standard output; errors, warnings and
//! hints to standard error. With `--json`, standard output carries one JSON object a line and
//! nothing else; around a command it is the command's alone. Then everything for people goes to
//! standard error.
//!
//! A line that cannot be written (a closed terminal, a pipe that nobody reads) is dropped: bringing
//! the nodes back matters more than saying so.

mod nodes;
mod outlet;
pub mod runs;
mod text;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use self::outlet::{Outlet, Stream};
pub use self::outlet::{cut_short_by, give_way, hurry, wait_until_taken};
use self::runs::{Outcome, Set, Tried, in_words};
pub use self::text::rounded;
use self::text::{columns, in_seconds, milliseconds, printable, room, turned_away, within};
use crate::config::Node;
use crate::reason::Reason;
use crate::server::Failure;
use crate::server::identity::ServerId;

/// Who reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A person, or a script that looks for the lines.
    Person,
    /// A program that reads JSON.
    Program,
    /// The reader of a command's output.
    Command,
}

/// Where the lines go.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Printer {
    /// Results, for people.
    out: Box<dyn Write>,
    err: AutoStream<Box<dyn Write>>,
    /// Results, for programs.
    json: Option<Outlet>,
    /// Whether the terminal shows what is typed, its line end too.
    echoes: bool,
    /// Whether a line of standard error can be written over.
    is_terminal: bool,
    /// How much of the terminal's line is to be written over before anything else.
    passing: usize,
    said_time_left: bool,
    /// Whether the question stands on the terminal's line and waits for an answer.
    asks: bool,
    /// How many logins and statements each server has refused so far, by the user name.
    turned_away: BTreeMap<(ServerId, String), u64>,
    /// Where the settings are from.
    settings: String,
    /// Whether how each node goes offline and comes back is for programs alone.
    nodes_for_programs: bool,
    /// What [`Self::errors_told`] returns next.
    errors: String,
}

impl Printer {
    /// To standard output and standard error.
    pub fn standard(reader: Audience) -> Self {
        Self {
            out: Box::new(Outlet::to(match reader {
                Audience::Person => Stream::Out,
                Audience::Program | Audience::Command => Stream::Err,
            })),
            err: standard_error(),
            json: (reader == Audience::Program).then(|| Outlet::to(Stream::Out)),
            echoes: io::stdin().is_terminal(),
            is_terminal: io::stderr().is_terminal(),
            passing: 0,
            said_time_left: false,
            asks: false,
            turned_away: BTreeMap::new(),
            settings: String::new(),
            nodes_for_programs: false,
            errors: String::new(),
        }
    }

    fn out(&mut self, line: &str) {
        self.clear();
        let _ = writeln!(self.out, "{}", printable(line));
        let _ = self.out.flush();
    }

    fn err(&mut self, line: &str) {
        self.labelled("", Style::new(), line);
    }

    fn labelled(&mut self, label: &str, style: Style, line: &str) {
        self.clear();
        // What is said meanwhile has a line of its own, and the question is asked again after it.
        let asks = self.asks;
        if asks {
            self.end_prompt();
        }
        let _ = writeln!(self.err, "{style}{label}{style:#}{}", printable(line));
        if asks {
            self.prompt();
        }
    }

    /// A line that the next one writes over; only for a terminal.
    fn pass(&mut self, text: &str) {
        if self.is_terminal {
            self.clear();
            let text = within(&printable(text), room());
            let _ = write!(self.err, "{text}\r");
            let _ = self.err.flush();
            self.passing = columns(&text);
        }
    }

    fn clear(&mut self) {
        if self.passing > 0 {
            // It may have become narrower meanwhile.
            let width = self.passing.min(room());
            let _ = write!(self.err, "{:width$}\r", "");
            let _ = self.err.flush();
            self.passing = 0;
        }
    }

    /// An event for programs, with the fields in their order.
    fn event(&mut self, event: &str, node: Option<&Node>, more: Value) {
        if let Some(json) = &mut self.json {
            let mut object = serde_json::Map::new();
            object.insert("event".to_owned(), event.into());
            object.insert("node".to_owned(), node.map(|node| node.number).into());
            if let Some(node) = node {
                let environment = node.environment.to_string();
                object.insert("environment".to_owned(), environment.into());
            }
            if let Value::Object(more) = more {
                object.extend(more);
            }
            let now = humantime::format_rfc3339_seconds(SystemTime::now());
            object.insert("time".to_owned(), now.to_string().into());
            let _ = writeln!(json, "{}", Value::Object(object));
            let _ = json.flush();
        }
    }

    /// Which file the settings are from, and whether `super_read_only` may be lifted, to be said
    /// with the nodes.
    pub fn settings_are(&mut self, origin: String, lifts_read_only: bool) {
        self.settings = origin;
        if lifts_read_only {
            self.settings +=
                "; where super_read_only is on, it is lifted for the moment that out and back take";
        }
    }

    /// Before anything is done: which nodes, where, and from which file that is known.
    pub fn head(&mut self, nodes: &[Arc<Node>]) {
        if let Some(first) = nodes.first() {
            let named: Vec<String> = nodes.iter().map(ToString::to_string).collect();
            self.out(&format!(
                "{} environment: {}, {}",
                first.environment,
                named.join(", "),
                self.settings
            ));
        }
    }

    /// From now on no line tells how each node goes offline and comes back: the runs of a drill do.
    pub fn leave_nodes_to_programs(&mut self) {
        self.nodes_for_programs = true;
    }

    /// A run of a drill's command begins: its output is shown.
    pub fn run_begins(&mut self, title: &str) {
        self.note(format_args!("==> {title}"));
    }

    /// A run of a drill's command begins, and nothing of it is shown yet; only for a terminal.
    pub fn run_begins_quietly(&mut self, title: &str) {
        self.pass(title);
    }

    /// What a command has printed, as it is.
    pub fn pass_through(&mut self, output: &[u8]) {
        self.clear();
        let mut err = Outlet::to(Stream::Err);
        let _ = err.write_all(output).and_then(|()| err.flush());
        // It may be more than there is memory for. No node waits for it.
        wait_until_taken();
    }

    /// What a run of a drill's command came to.
    pub fn run_ended(&mut self, run: &Tried) {
        let (outcome, elapsed) = (run.outcome, rounded(run.elapsed));
        if run.outcome.is_failure() {
            let style = AnsiColor::Red.on_default().bold();
            let title = run.title();
            self.labelled(
                &outcome.to_string(),
                style,
                &format!(" after {elapsed}: {title}"),
            );
        }
        let status = match outcome {
            Outcome::Passed => Some(0),
            Outcome::Failed(status) => Some(status),
            Outcome::TimedOut
            | Outcome::Interrupted
            | Outcome::NotOffline
            | Outcome::NotRun
            | Outcome::NotStarted => None,
        };
        let more = json!({
            "offline": run.set,
            "phase": run.phase.name(),
            "outcome": outcome.name(),
            "status": status,
            "elapsed_ms": milliseconds(run.elapsed),
        });
        self.event("run", None, more);
    }

    /// What all runs of a drill came to.
    pub fn table(&mut self, lines: &[String]) {
        for line in lines {
            self.err(line);
        }
    }

    /// What a drill would try.
    pub fn drill_preview(&mut self, sets: &[Set]) {
        let written: Vec<String> = sets.iter().map(|set| in_words(set)).collect();
        self.out(&format!(
            "would run the command {} times: before, and while offline and when back for each of: {}",
            1 + 2 * sets.len(),
            written.join(", ")
        ));
        self.event("drill", None, json!({"sets": sets}));
    }

    /// The question, with the cursor left behind it.
    pub fn prompt(&mut self) {
        self.clear();
        self.asks = true;
        let _ = write!(self.out, "Start Server Again (Grant Privileges) (Y/N): ");
        let _ = self.out.flush();
    }

    /// After an answer: the next line begins at the left, also where no terminal has moved the
    /// cursor there.
    pub fn answered(&mut self) {
        self.asks = false;
        if !self.echoes {
            self.end_prompt();
        }
    }

    /// The question will not be answered: leave its line.
    pub fn end_prompt(&mut self) {
        self.asks = false;
        let _ = writeln!(self.out);
        let _ = self.out.flush();
    }

    /// The answer was N.
    pub fn stays_offline(&mut self) {
        self.out("The nodes stay offline. Answer Y to bring them back.");
    }

    /// The answer was neither Y nor N.
    pub fn not_an_answer(&mut self) {
        self.out("Please answer Y (bring the nodes back) or N (leave them offline).");
    }

    /// How long the nodes stay offline, on one line that changes; without a terminal it is said
    /// once.
    pub fn time_left(&mut self, left: Duration) {
        let text = format!("back in {} (Ctrl-C: now)", in_seconds(left));
        let refused = match self.turned_away.values().sum() {
            0 => String::new(),
            count => turned_away(count),
        };
        if !self.is_terminal && !self.said_time_left {
            self.note(&text);
        }
        self.said_time_left = true;
        self.pass(&(text + &refused));
    }

    /// How many logins and statements of the node's account its server has refused so far.
    pub fn turned_away(&mut self, node: &Node, server: &ServerId, count: u64) {
        let account = (server.clone(), node.account.user.clone());
        let most = self.turned_away.entry(account).or_default();
        *most = count.max(*most);
        self.event("turned_away", Some(node), json!({"turned_away": count}));
    }

    /// What is waited for, and how long already; only for a terminal.
    pub fn waiting(&mut self, nodes: &[&Node], already: Duration) {
        let list = |what: &dyn Fn(&Node) -> String| {
            let names: Vec<String> = nodes.iter().map(|node| what(node)).collect();
            names.join(", ")
        };
        let texts = match nodes {
            [node] => vec![node.to_string(), format!("node {}", node.number)],
            _ => vec![
                list(&|node| node.to_string()),
                format!("nodes {}", list(&|node| node.number.to_string())),
                format!("{} nodes", nodes.len()),
            ],
        };
        let mut texts = texts
            .into_iter()
            .map(|who| format!("waiting for {who}: {}", in_seconds(already)));
        // The longest that there is room for, else the shortest.
        let short = texts.next_back().unwrap_or_default();
        let room = room();
        let fits = texts.find(|text| columns(&printable(text)) <= room);
        self.pass(&fits.unwrap_or(short));
    }

    /// Something about a node that the user should know; it goes on.
    pub fn warning(&mut self, node: &Node, reason: &Reason) {
        self.warn(&format!(" {node}: {reason}"));
        self.reason("warning", Some(node), reason, json!({}));
    }

    /// Something about no node in particular that the user should know; it goes on.
    pub fn general_warning(&mut self, reason: &Reason) {
        self.warn(&format!(" {reason}"));
        self.reason("warning", None, reason, json!({}));
    }

    fn warn(&mut self, line: &str) {
        let style = AnsiColor::Yellow.on_default().bold();
        self.labelled("warning:", style, line);
    }

    /// What failed at a node.
    pub fn error(&mut self, node: &Node, problem: &Failure) {
        for reason in &problem.reasons {
            self.error_line(&format!(" {node}: {reason}"));
            self.reason("error", Some(node), reason, json!({"code": problem.code}));
        }
    }

    /// What failed, at no node in particular.
    pub fn general_error(&mut self, reason: &Reason) {
        for line in reason.lines() {
            self.error_line(&format!(" {line}"));
            self.reason("error", None, &line, json!({"code": null}));
        }
    }

    fn reason(&mut self, event: &str, node: Option<&Node>, reason: &Reason, more: Value) {
        let mut object = json!({"kind": reason.kind.to_string()});
        if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
            object.extend(more);
            object.insert("message".to_owned(), reason.text.clone().into());
        }
        self.event(event, node, object);
    }

    fn error_line(&mut self, line: &str) {
        let style = AnsiColor::Red.on_default().bold();
        self.labelled("error:", style, line);
        self.errors += &printable(line.trim_start());
        self.errors.push('\n');
    }

    /// The errors that were told since this was asked last, a line each.
    pub fn errors_told(&mut self) -> String {
        std::mem::take(&mut self.errors)
    }

    /// What is going on, or what to do next.
    pub fn note(&mut self, text: impl Display) {
        self.err(&text.to_string());
    }
}

/// With colors where it is a terminal that shows them, which is asked of the stream itself.
fn standard_error() -> AutoStream<Box<dyn Write>> {
    let err = Box::new(Outlet::to(Stream::Err));
    match AutoStream::auto(io::stderr()).current_choice() {
        ColorChoice::AlwaysAnsi => AutoStream::always_ansi(err),
        ColorChoice::Always | ColorChoice::Auto | ColorChoice::Never => AutoStream::never(err),
    }
}
