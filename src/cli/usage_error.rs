//! What is wrong with a command line, in one line that says what to type instead. clap's own
//! messages take several, and its tip to put `--` before what it does not know would run that as a
//! command.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::completion::{long, positional, takes_value};

/// Wrong arguments: nothing was touched.
#[derive(Debug)]
pub struct UsageError {
    /// What is wrong, and what to type instead.
    pub message: String,
    /// Whether a program reads standard output.
    pub json: bool,
}

impl UsageError {
    pub(super) fn new(message: String, typed: &[OsString]) -> Self {
        let mut options = typed.iter().take_while(|arg| *arg != "--");
        Self {
            message,
            json: options.any(|arg| arg == "--json"),
        }
    }

    /// What clap found, told in the user's terms.
    pub(super) fn of(root: &Command, error: &clap::Error, typed: &[OsString]) -> Self {
        let mut root = root.clone();
        root.build();
        let mut typed_words = typed.iter().map(|arg| arg.to_string_lossy().into_owned());
        let words = typed_words.by_ref().take_while(|arg| arg != "--").collect();
        let behind = typed_words.collect();
        let line = Line {
            root,
            words,
            behind,
        };
        Self::new(line.told(error), typed)
    }
}

/// An option without its value, which may be one of these.
fn needs_a_value(option: &str, argument: &str, values: &str) -> String {
    let placeholder = argument.split(' ').nth(1).unwrap_or_default();
    let example = match placeholder.trim_matches(['<', '>']) {
        "DURATION" => "30s",
        "METHOD" => "lock",
        other => other,
    };
    let first = values.split(' ').next().filter(|one| !one.is_empty());
    let example = first.unwrap_or(example);
    format!("{option} needs a value, for example: {option} {example}")
}

fn takes_one_of(what: &str, values: &str) -> String {
    let values = values.replace(' ', ", ");
    match values.rsplit_once(", ") {
        Some((first, last)) => format!("{what} takes {first} or {last}"),
        None => format!("{what} takes {values}"),
    }
}

fn conflict(option: &str, prior: &str) -> String {
    if Some(option) == prior.split(' ').next() {
        return format!("{option} is given twice");
    }
    let name = |text: &str| match text {
        text if text.contains("COMMAND") => "a command".to_owned(),
        text => text.to_owned(),
    };
    format!("{} cannot be used with {}", name(option), name(prior))
}

/// What was typed.
struct Line {
    root: Command,
    /// Before a `--`.
    words: Vec<String>,
    /// The command behind it.
    behind: Vec<String>,
}

impl Line {
    fn told(&self, error: &clap::Error) -> String {
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            Some(ContextValue::Strings(texts)) => texts.join(" "),
            _ => String::new(),
        };
        let argument = context(ContextKind::InvalidArg);
        // `--for <DURATION>` is --for, and `--json=x` too.
        let option = argument.split([' ', '=']).next().unwrap_or_default();
        let value = context(ContextKind::InvalidValue);
        let is_option = option.starts_with("--");
        match error.kind() {
            ErrorKind::UnknownArgument => self.unknown(option),
            ErrorKind::MissingRequiredArgument => self.missing(&argument),
            ErrorKind::ArgumentConflict => conflict(option, &context(ContextKind::PriorArg)),
            ErrorKind::InvalidValue if is_option && value.is_empty() => {
                needs_a_value(option, &argument, &context(ContextKind::ValidValue))
            }
            ErrorKind::InvalidValue => {
                let what = if is_option {
                    option.to_owned()
                } else {
                    self.command()
                };
                takes_one_of(&what, &context(ContextKind::ValidValue))
            }
            ErrorKind::ValueValidation if is_option => {
                let why = std::error::Error::source(error).map(ToString::to_string);
                format!("{option} {}", why.unwrap_or_default())
            }
            ErrorKind::ValueValidation => self.no_node(&value),
            ErrorKind::TooManyValues => format!("{option} takes no value"),
            ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
            // None that this command line can have: clap's own first line.
            _ => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                first.trim_start_matches("error: ").to_owned()
            }
        }
    }

    /// What is to be typed too.
    fn missing(&self, argument: &str) -> String {
        let command = self.command();
        match argument {
            _ if argument.contains("<NODE>") => {
                let dashes = if self.behind.is_empty() { "" } else { " -- " };
                let behind = format!("{dashes}{}", self.behind.join(" "));
                format!("which node? example: {command} 1{behind}")
            }
            _ if argument.contains("<SHELL>") => format!("which shell? example: {command} bash"),
            _ if argument.contains("<COMMAND>") => {
                format!(
                    "which command? example: {command}{} -- make test",
                    self.nodes()
                )
            }
            _ => format!("{command} needs {argument}"),
        }
    }

    /// The subcommand that was typed, or the command itself.
    fn active(&self) -> &Command {
        let mut words = self.words.iter().enumerate();
        words
            .find_map(|(at, word)| {
                self.root
                    .find_subcommand(word)
                    .filter(|_| !self.is_value(at))
            })
            .unwrap_or(&self.root)
    }

    /// Whether the word at this place is the value of the option before it.
    fn is_value(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.words.get(at));
        let mut options = self
            .root
            .get_arguments()
            .chain(self.root.get_subcommands().flat_map(Command::get_arguments));
        before.is_some_and(|before| {
            options.any(|arg| long(arg).as_deref() == Some(before) && takes_value(arg))
        })
    }

    /// The numbers that were typed, but for the values of options, each behind a space.
    fn nodes(&self) -> String {
        let words = self.words.iter().enumerate();
        let numbers = words.filter(|(at, word)| word.parse::<u32>().is_ok() && !self.is_value(*at));
        numbers.fold(String::new(), |nodes, (_, word)| nodes + " " + word)
    }

    /// How what was typed begins, such as `fail-start status`.
    fn command(&self) -> String {
        let root = self.root.get_name();
        match self.active().get_name() {
            name if name == root => name.to_owned(),
            name => format!("{root} {name}"),
        }
    }

    fn unknown(&self, option: &str) -> String {
        let active = self.active();
        if !option.starts_with('-') {
            return format!("{} takes no '{option}'", self.command());
        }
        // Of `-dryrun` clap names the first letter.
        let typed = self.words.iter().find(|word| word.starts_with(option));
        let typed = typed.map_or(option, |word| word.split('=').next().unwrap_or(word));
        if typed.trim_start_matches('-').parse::<f64>().is_ok() {
            return self.no_node(typed);
        }
        let exists = self
            .root
            .get_arguments()
            .any(|arg| long(arg).as_deref() == Some(typed));
        if exists {
            return format!("{} has no option {typed}", self.command());
        }
        let root = self.root.get_name();
        let has_it = |command: &&clap::Command| {
            let mut options = command.get_arguments().filter_map(long);
            options.any(|option| option == typed)
        };
        if let Some(command) = self.root.get_subcommands().find(has_it) {
            let name = command.get_name();
            return format!("{typed} is an option of {root} {name}: see {root} {name} --help");
        }
        let subcommand = self.root.find_subcommand(typed.trim_start_matches('-'));
        match nearest(typed, active.get_arguments().filter_map(long)) {
            _ if subcommand.is_some() => {
                let name = typed.trim_start_matches('-');
                format!(
                    "there is no option {typed}: did you mean {} {name}?",
                    self.root.get_name()
                )
            }
            Some(meant) => format!("there is no option {typed}: did you mean {meant}?"),
            None => format!(
                "there is no option {typed} (help: {} --help)",
                self.command()
            ),
        }
    }

    fn no_node(&self, text: &str) -> String {
        let command = self.command();
        if let Some(numbers) = several(text) {
            return format!("separate numbers with spaces: {command} {numbers}");
        }
        if text == "help" {
            return format!("for help, type: {command} --help");
        }
        // Behind a node a subcommand's name is taken for another node.
        if let Some(subcommand) = self.root.find_subcommand(text) {
            let takes_nodes = positional(subcommand).is_some_and(|arg| arg.get_id() == "nodes");
            let nodes = if takes_nodes {
                self.nodes()
            } else {
                String::new()
            };
            return format!("{text} comes first: {} {text}{nodes}", self.root.get_name());
        }
        if let Some(meant) = self.meant_instead_of_node(text) {
            return meant;
        }
        let holds_command = self.active().get_positionals().any(clap::Arg::is_last_set);
        if holds_command && let Some(before) = self.forgotten_dashes(text) {
            return format!("'{text}' is not a node number; to run it as a command: {before}");
        }
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        match digits.parse::<u32>() {
            Ok(number)
                if number > 0
                    && text
                        .strip_suffix(&digits)
                        .is_some_and(|name| name.to_lowercase().starts_with("node")) =>
            {
                format!("'{text}' is not a node number: type {command} {number}")
            }
            _ if positional(self.active()).is_some_and(|arg| !arg.is_required_set()) => {
                format!(
                    "'{text}' is not a node number (example: {command} 1 3; all nodes: {command})"
                )
            }
            _ => format!("'{text}' is not a node number (example: {command} 1 3)"),
        }
    }

    /// A subcommand or an option that is nearly this.
    fn meant_instead_of_node(&self, text: &str) -> Option<String> {
        if self.active().get_name() != self.root.get_name() {
            return None;
        }
        let commands = self.root.get_subcommands();
        let names = commands.map(|one| one.get_name().to_owned());
        if let Some(name) = nearest(text, names) {
            let command = self.command();
            return Some(format!(
                "there is no '{text}': did you mean {command} {name}?"
            ));
        }
        let mut options = self.root.get_arguments().filter_map(long);
        let option = options.find(|option| option.trim_start_matches('-') == text)?;
        Some(format!(
            "'{text}' is not a node number: did you mean {option}?"
        ))
    }

    /// The same with a `--`, where what follows the numbers can be a command, as in `1 make test`, or
    /// in `drill make test`.
    fn forgotten_dashes(&self, word: &str) -> Option<String> {
        let at = self.words.iter().position(|one| one == word)?;
        let starts = word.starts_with(|c: char| c.is_ascii_alphabetic() || "./~".contains(c));
        let before = self.words.get(at.checked_sub(1)?)?;
        let is_node = before.parse().is_ok_and(|number: u32| number > 0) && !self.is_value(at - 1);
        let is_drill = before == self.active().get_name();
        let (before, command) =
            ((is_node || is_drill) && starts).then(|| self.words.split_at(at))?;
        Some(format!(
            "{} {} -- {}",
            self.root.get_name(),
            before.join(" "),
            command.join(" ")
        ))
    }
}

/// The numbers of `1,2`, `1;2` or `1-3`, with spaces between them.
fn several(text: &str) -> Option<String> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
    if let Some((first, last)) = text.split_once('-').or_else(|| text.split_once(".."))
        && let (Some(first), Some(last)) = (number(first), number(last))
        && (1..16).contains(&last.saturating_sub(first))
    {
        return Some(joined(first..=last));
    }
    let parts = text
        .split([',', ';', ' ', '+'])
        .filter(|part| !part.is_empty());
    let numbers: Vec<u32> = parts.map(number).collect::<Option<_>>()?;
    (!numbers.is_empty() && text.contains([',', ';', ' ', '+'])).then(|| joined(numbers))
}

fn joined(numbers: impl IntoIterator<Item = u32>) -> String {
    let numbers: Vec<String> = numbers
        .into_iter()
        .map(|number| number.to_string())
        .collect();
    numbers.join(" ")
}

/// The name that was meant: one that differs in its hyphens and its case only, one that begins so,
/// or one that is a typo away.
fn nearest(typed: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let plain = |text: &str| text.replace(['-', '_'], "").to_lowercase();
    let (typed, names) = (plain(typed), names.collect::<Vec<_>>());
    if typed.is_empty() {
        return None;
    }
    let begins = || {
        let mut beginning = names
            .iter()
            .filter(|name| typed.len() > 1 && plain(name).starts_with(&typed));
        beginning.next().filter(|_| beginning.next().is_none())
    };
    let near = || {
        let near = |name: &&String| {
            let plain = plain(name);
            let distance = strsim::damerau_levenshtein(&plain, &typed);
            distance <= plain.len().min(typed.len()) / 3
                || plain.len() > 3 && typed.starts_with(&plain)
        };
        let distance = |name: &&String| strsim::damerau_levenshtein(&plain(name), &typed);
        names.iter().filter(near).min_by_key(distance)
    };
    let same = names.iter().find(|name| plain(name) == typed);
    same.or_else(begins).or_else(near).cloned()
}
