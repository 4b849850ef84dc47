//! Every line that a person or a program reads. Results go to standard output; errors, warnings and hints to standard
//! error. With `--json`, standard output carries one JSON object a line and nothing else; around a command it is the
//! command's alone. Then everything for people goes to standard error.
//!
//! A line that cannot be written (a closed terminal, a pipe that nobody reads) is dropped: bringing the nodes back
//! matters more than saying so.

pub mod runs;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use rustix::termios::tcgetwinsize;
use serde_json::{Value, json};

use self::runs::{Outcome, Set, Tried, in_words};
use crate::config::Node;
use crate::outage::hold::Back;
use crate::outage::prepare::Preview;
use crate::outage::recover::NodeStatus;
use crate::outage::state::UndoEvent;
use crate::outage::take_down::Taken;
use crate::server::Failure;
use crate::server::grants::Grant;

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
    err: AutoStream<io::Stderr>,
    /// Results, for programs.
    json: Option<io::Stdout>,
    /// Whether the terminal shows what is typed, its line end too.
    echoes: bool,
    /// Whether a line of standard error can be written over.
    is_terminal: bool,
    /// How much of the terminal's line is to be written over before anything else.
    passing: usize,
    said_time_left: bool,
    /// Whether the question stands on the terminal's line and waits for an answer.
    asks: bool,
    /// How many logins and statements each node has refused so far.
    turned_away: BTreeMap<u32, u64>,
    /// Where the settings are from.
    settings: String,
    /// Whether how each node goes offline and comes back is for programs alone.
    nodes_for_programs: bool,
}

impl Printer {
    /// To standard output and standard error.
    pub fn standard(reader: Audience) -> Self {
        Self {
            out: match reader {
                Audience::Person => Box::new(io::stdout()),
                Audience::Program | Audience::Command => Box::new(io::stderr()),
            },
            err: AutoStream::auto(io::stderr()),
            json: (reader == Audience::Program).then(io::stdout),
            echoes: io::stdin().is_terminal(),
            is_terminal: io::stderr().is_terminal(),
            passing: 0,
            said_time_left: false,
            asks: false,
            turned_away: BTreeMap::new(),
            settings: String::new(),
            nodes_for_programs: false,
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

    /// Which file the settings are from, and whether `super_read_only` may be lifted, to be said with the nodes.
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

    /// A node that is proven to be offline.
    pub fn offline(&mut self, node: &Node, taken: &Taken) {
        self.of_node(&format!(
            "❌ NODE {} IS NOW OFFLINE (simulated)",
            node.number
        ));
        let more = json!({
            "method": taken.method.to_string(),
            "sessions_ended": taken.sessions_ended,
            "elapsed_ms": milliseconds(taken.elapsed),
        });
        self.event("offline", Some(node), more);
    }

    /// A node that is proven to be back.
    pub fn online(&mut self, node: &Node, back: &Back) {
        self.of_node(&format!(
            "✅ NODE {} IS NOW ONLINE (recovered)",
            node.number
        ));
        let more = json!({
            "method": back.method.to_string(),
            "offline_ms": back.offline_for.map(milliseconds),
            "sessions_ended": back.sessions_ended,
            "got_in": back.got_in,
            "turned_away": back.turned_away,
            "elapsed_ms": milliseconds(back.elapsed),
        });
        self.event("online", Some(node), more);
    }

    fn of_node(&mut self, line: &str) {
        if !self.nodes_for_programs {
            self.out(line);
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
        let _ = io::stderr().write_all(output);
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
            Outcome::TimedOut | Outcome::Interrupted | Outcome::NotRun => None,
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

    /// After an answer: the next line begins at the left, also where no terminal has moved the cursor there.
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

    /// How long the nodes stay offline, on one line that changes; without a terminal it is said once.
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

    /// How many logins and statements the node has refused so far.
    pub fn turned_away(&mut self, node: &Node, count: u64) {
        self.turned_away.insert(node.number, count);
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

    /// How a node stands.
    pub fn standing(&mut self, node: &Node, standing: &Result<NodeStatus, Failure>) {
        let number = node.number;
        let (state, text, found) = match standing {
            Ok(NodeStatus::Online(None)) => ("online", "online".to_owned(), None),
            Ok(NodeStatus::Online(Some(found))) => (
                "online",
                format!(
                    "online, but what would bring it back is still there, {found} (fail-start recover {number} drops it)"
                ),
                Some(found),
            ),
            Ok(NodeStatus::Offline(found)) => ("offline", format!("offline {found}"), Some(found)),
            Ok(NodeStatus::Out {
                locked,
                without_grants,
            }) => {
                let (state, how) = match (locked, without_grants) {
                    (true, true) => ("locked", "locked and without grants"),
                    (true, false) => ("locked", "locked"),
                    (false, _) => ("without_grants", "without grants"),
                };
                let hint = match locked {
                    true => format!("fail-start recover {number} unlocks it"),
                    false => format!("fail-start recover {number} grants it ALL PRIVILEGES"),
                };
                (state, format!("{how}, not by fail-start ({hint})"), None)
            }
            Ok(NodeStatus::LockedElsewhere(found)) => ("locked", found.elsewhere(), Some(found)),
            Ok(NodeStatus::Distrusted(found)) => ("distrusted", found.distrust(), None),
            Err(why) => ("unreachable", why.to_string(), None),
        };
        self.out(&format!("{node}: {text}"));
        let undo = found.and_then(|found| found.undo.as_ref());
        let more = json!({
            "state": state,
            "since": found.map(UndoEvent::since),
            "until": found.and_then(UndoEvent::until),
            "by": undo.map(|undo| json!({"version": undo.version, "host": undo.host, "process": undo.process})),
            "code": standing.as_ref().err().and_then(|why| why.code),
            "message": text,
        });
        self.event("status", Some(node), more);
    }

    /// What would be done to a node.
    pub fn preview(&mut self, node: &Node, preview: &Preview) {
        self.out(&format!(
            "{node}: {}, {}, {} would end{}",
            preview.version,
            preview.method,
            sessions(preview.sessions),
            if preview.lifts_read_only {
                ", super_read_only would be lifted for the moment"
            } else {
                ""
            }
        ));
        let lists = [
            ("would run:", &preview.out),
            ("to bring it back:", &preview.back),
        ];
        for (heading, statements) in lists {
            self.out(&format!("  {heading}"));
            for statement in statements {
                for line in format!("{statement};").lines() {
                    self.out(&format!("    {line}"));
                }
            }
        }
        let more = json!({
            "method": preview.method.to_string(),
            "server": preview.version,
            "sessions": preview.sessions,
            "lifts_read_only": preview.lifts_read_only,
            "out": preview.out,
            "back": preview.back,
        });
        self.event("plan", Some(node), more);
    }

    /// What an outage did to a node.
    pub fn summary(&mut self, node: &Node, back: &Back) {
        let ended = format!("{} ended", sessions(back.sessions_ended));
        let got_in = match back.got_in {
            0 => String::new(),
            n => format!(" ({n} had got in meanwhile)"),
        };
        let refused = back.turned_away.map(turned_away).unwrap_or_default();
        let offline = match back.offline_for {
            None => String::new(),
            Some(short) if short < Duration::from_millis(950) => {
                format!("offline for {} ms, ", short.as_millis())
            }
            Some(duration) => format!("offline for {}, ", rounded(duration)),
        };
        self.out(&format!(
            "node {}: {offline}{ended}{got_in}{refused}",
            node.number
        ));
    }

    /// Something about a node that the user should know; it goes on.
    pub fn warning(&mut self, node: &Node, text: impl Display) {
        let style = AnsiColor::Yellow.on_default().bold();
        self.labelled("warning:", style, &format!(" {node}: {text}"));
        self.event("warning", Some(node), json!({"message": text.to_string()}));
    }

    /// Something about no node in particular that the user should know; it goes on.
    pub fn general_warning(&mut self, text: impl Display) {
        let style = AnsiColor::Yellow.on_default().bold();
        self.labelled("warning:", style, &format!(" {text}"));
        self.event("warning", None, json!({"message": text.to_string()}));
    }

    /// What failed at a node.
    pub fn error(&mut self, node: &Node, problem: &Failure) {
        for line in problem.to_string().lines() {
            self.error_line(&format!(" {node}: {line}"));
            let more = json!({"code": problem.code, "message": line});
            self.event("error", Some(node), more);
        }
    }

    /// What failed, at no node in particular.
    pub fn general_error(&mut self, text: impl Display) {
        for line in text.to_string().lines() {
            self.error_line(&format!(" {line}"));
            self.event("error", None, json!({"code": null, "message": line}));
        }
    }

    fn error_line(&mut self, line: &str) {
        let style = AnsiColor::Red.on_default().bold();
        self.labelled("error:", style, line);
    }

    /// What is going on, or what to do next.
    pub fn note(&mut self, text: impl Display) {
        self.err(&text.to_string());
    }

    /// What to run on a node to bring it back without this program.
    pub fn by_hand(&mut self, node: &Node, statements: &[String]) {
        self.err(&format!(
            "to bring {node} back by hand, run there as {}:",
            node.admin.user
        ));
        for statement in statements {
            self.err(&format!("  {statement};"));
        }
        let can_be_gone = |grant: Grant| !grant.is_on_a_database();
        if statements
            .iter()
            .any(|one| Grant::given_by(one).is_some_and(can_be_gone))
        {
            self.err("where one fails since its table, column or routine is gone, go on with the next (mysql --force)");
        }
        self.err(&format!(
            "or, as soon as it can be reached: fail-start recover {}",
            node.number
        ));
        self.event("by_hand", Some(node), json!({"statements": statements}));
    }
}

/// The text with its control characters escaped, those that turn the direction of writing too: names and messages come
/// from servers and files.
fn printable(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// So many sessions.
fn sessions(count: usize) -> String {
    match count {
        1 => "1 session".to_owned(),
        count => format!("{count} sessions"),
    }
}

/// How many columns there are on a line of the terminal without its last one, where some go on to the next line.
fn room() -> usize {
    let size = tcgetwinsize(io::stderr()).map(|size| usize::from(size.ws_col));
    // One that does not tell is as wide as they come.
    size.ok().filter(|&columns| columns > 0).unwrap_or(80) - 1
}

/// How many columns the text takes at most: some characters take two.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

/// As much of the text's beginning as takes no more than so many columns.
fn within(text: &str, room: usize) -> String {
    let mut taken = 0;
    let fits = |c: &char| {
        taken += if c.is_ascii() { 1 } else { 2 };
        taken <= room
    };
    text.chars().take_while(fits).collect()
}

fn turned_away(count: u64) -> String {
    match count {
        1 => ", 1 login or statement refused".to_owned(),
        count => format!(", {count} logins or statements refused"),
    }
}

/// To a tenth of a millisecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// In whole seconds, the one that has begun counted.
fn in_seconds(duration: Duration) -> humantime::FormattedDuration {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    humantime::format_duration(Duration::from_secs(whole))
}

/// For people: to a tenth of a second, or in whole ones.
pub fn rounded(duration: Duration) -> String {
    if duration < Duration::from_secs(60) {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
    }
}
