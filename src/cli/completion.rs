//! What the Tab key offers. A shell's script is a few lines: it hands the words to this program,
//! which knows the command line and the nodes of the `.env` at hand, and takes what is printed, one
//! offer a line with its description after a tab.
//!
//! `clap_complete`'s scripts are not used: bash's stumbles over the hyphen in the name, and none
//! goes on behind `--` as the shell would complete that command by itself.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Arg, Command, ValueEnum, ValueHint};

use crate::config;

/// The first argument of a shell's script: then the words, the last one up to the cursor.
pub const OFFER: &str = "__offer";

/// A shell that a completion script is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// Friendly interactive shell
    Fish,
    /// PowerShell, of Windows and others
    #[value(name = "powershell")]
    Pwsh,
}

impl Shell {
    pub fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("completion/completion.bash"),
            Self::Zsh => include_str!("completion/completion.zsh"),
            Self::Fish => include_str!("completion/completion.fish"),
            Self::Pwsh => include_str!("completion/completion.ps1"),
        }
    }
}

/// What a shell is to offer.
enum Offer {
    /// These words, each with what it is.
    Words(Vec<(String, String)>),
    /// Its own file names.
    Files,
    /// What it offers for the command that begins behind so many words.
    Command(usize),
}

/// Prints what can stand in place of the last of the words.
///
/// # Errors
/// Where it cannot be written.
pub fn offer(root: &Command, words: &[OsString], out: &mut dyn Write) -> io::Result<()> {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut root = root.clone();
    root.build();
    let offer = match words.split_last() {
        None => Offer::Words(Vec::new()),
        Some((current, before)) => match Line::read(&root, before) {
            Ok(line) => line.offers(current),
            Err(at) => Offer::Command(at),
        },
    };
    match offer {
        Offer::Words(words) => words
            .iter()
            .try_for_each(|(word, what)| writeln!(out, "{word}\t{what}")),
        Offer::Files => writeln!(out, ":files"),
        Offer::Command(at) => writeln!(out, ":command {at}"),
    }
}

/// The nodes of this file, or of the `.env` at hand, and where they are; none if that is in error,
/// which a run then tells.
fn known_nodes(env_file: Option<&str>) -> Vec<(String, String)> {
    let env_file = env_file.map(|path| PathBuf::from(as_the_shell_reads(path)));
    let known = config::known_nodes(env_file.as_deref()).unwrap_or_default();
    known
        .into_iter()
        .map(|(number, place)| (number.to_string(), place))
        .collect()
}

/// The path without the quotes that it was typed with, and with the home folder for `~`: bash hands
/// on what was typed.
fn as_the_shell_reads(typed: &str) -> String {
    let mut path = match (typed.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{home}/{rest}"),
        _ => typed.to_owned(),
    };
    for quote in ['\'', '"'] {
        if let Some(inner) = path.strip_prefix(quote) {
            return inner.trim_end_matches(quote).to_owned();
        }
    }
    path.retain(|c| c != '\\');
    path
}

/// The option as it is typed, such as `--for`.
pub fn long(arg: &Arg) -> Option<String> {
    let long = arg.get_long().filter(|_| !arg.is_hide_set())?;
    Some(format!("--{long}"))
}

/// The argument that has no name and stands before a `--`.
pub fn positional(command: &Command) -> Option<&Arg> {
    command.get_positionals().find(|arg| !arg.is_last_set())
}

pub fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// What stands before the word that is completed.
struct Line<'a> {
    /// The subcommand that was typed, or the command itself.
    command: &'a Command,
    /// The words that belong to no option, such as the nodes that are named already.
    taken: BTreeSet<&'a str>,
    /// The options that were given already.
    given: BTreeSet<&'a str>,
    env_file: Option<&'a str>,
    /// The option that waits for its value.
    waiting: Option<&'a Arg>,
    /// Whether no option can come any more.
    no_options: bool,
}

impl<'a> Line<'a> {
    /// Reads the words, or says behind how many of them a command of its own begins.
    fn read(root: &'a Command, words: &'a [String]) -> Result<Self, usize> {
        let mut line = Self {
            command: root,
            taken: BTreeSet::new(),
            given: BTreeSet::new(),
            env_file: None,
            waiting: None,
            no_options: false,
        };
        for (at, word) in words.iter().enumerate() {
            if let Some(option) = line.waiting.take() {
                line.has_value(option, word);
            } else if line.no_options || !word.starts_with('-') {
                match line.command.find_subcommand(word) {
                    Some(subcommand) if line.can_be_subcommand() => line.command = subcommand,
                    _ => drop(line.taken.insert(word)),
                }
            } else if word == "--" {
                if line.command.get_positionals().any(Arg::is_last_set) {
                    return Err(at + 1);
                }
                line.no_options = true;
            } else {
                let (name, value) = match word.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (word.as_str(), None),
                };
                if let Some(option) = line.option(name) {
                    line.given.insert(option.get_id().as_str());
                    match value {
                        Some(value) => line.has_value(option, value),
                        None => line.waiting = Some(option).filter(|option| takes_value(option)),
                    }
                }
            }
        }
        Ok(line)
    }

    fn has_value(&mut self, option: &Arg, value: &'a str) {
        if option.get_id() == "env_file" {
            self.env_file = Some(value);
        }
    }

    fn can_be_subcommand(&self) -> bool {
        self.taken.is_empty() && !self.no_options
    }

    fn option(&self, name: &str) -> Option<&'a Arg> {
        options(self.command).find(|arg| long(arg).as_deref() == Some(name))
    }

    /// What can stand in place of a word of which this much was typed.
    fn offers(&self, current: &str) -> Offer {
        if let Some(option) = self.waiting {
            return self.values(option, "", current);
        }
        if !self.no_options && current.starts_with('-') {
            let Some((name, typed)) = current.split_once('=') else {
                return Offer::Words(self.options_left(current));
            };
            return match self.option(name).filter(|arg| takes_value(arg)) {
                Some(option) => self.values(option, &format!("{name}="), typed),
                None => Offer::Words(Vec::new()),
            };
        }
        // One that takes a single word takes no second one.
        let positional = positional(self.command).filter(|arg| {
            let takes_several = arg
                .get_num_args()
                .is_some_and(|range| range.max_values() > 1);
            takes_several || self.taken.is_empty()
        });
        let mut offers = match positional.map(|arg| self.values(arg, "", current)) {
            Some(Offer::Words(words)) => words,
            Some(other) => return other,
            None => Vec::new(),
        };
        if self.can_be_subcommand() {
            let subcommands = self.command.get_subcommands();
            offers.extend(
                subcommands
                    .filter(|one| !one.is_hide_set() && one.get_name().starts_with(current))
                    .map(|one| (one.get_name().to_owned(), plain(one.get_about()))),
            );
        }
        // All nodes are named: what can come now are options.
        if offers.is_empty() && current.is_empty() && !self.no_options {
            offers = self.options_left(current);
        }
        Offer::Words(offers)
    }

    /// The values of an argument that begin as typed, each with this before it.
    fn values(&self, arg: &Arg, prefix: &str, typed: &str) -> Offer {
        let placeholder = arg.get_value_names().and_then(|names| names.first());
        let all: Vec<(String, String)> = match placeholder.map(clap::builder::Str::as_str) {
            Some("NODE") => known_nodes(self.env_file),
            Some("DURATION") => ["10s", "30s", "1m", "5m"]
                .map(|duration| (duration.to_owned(), "or any other".to_owned()))
                .to_vec(),
            _ if matches!(
                arg.get_value_hint(),
                ValueHint::AnyPath | ValueHint::FilePath
            ) =>
            {
                return Offer::Files;
            }
            _ => arg
                .get_possible_values()
                .iter()
                .map(|value| (value.get_name().to_owned(), plain(value.get_help())))
                .collect(),
        };
        let goes = |(value, _): &(String, String)| {
            value.starts_with(typed) && !self.taken.contains(value.as_str())
        };
        let offers = all.into_iter().filter(goes);
        Offer::Words(
            offers
                .map(|(value, what)| (format!("{prefix}{value}"), what))
                .collect(),
        )
    }

    /// The options that were not given yet and begin as typed, and `--` where a command can follow.
    fn options_left(&self, typed: &str) -> Vec<(String, String)> {
        // Help and version stand alone.
        let is_alone = self.given.is_empty() && self.taken.is_empty();
        let goes = |arg: &&Arg| {
            let id = arg.get_id().as_str();
            !self.given.contains(id) && (is_alone || !matches!(id, "help" | "version"))
        };
        let mut offers: Vec<(String, String)> = options(self.command)
            .filter(goes)
            .filter_map(|arg| Some((long(arg)?, plain(arg.get_help()))))
            .collect();
        let needs_nodes = positional(self.command).is_some_and(Arg::is_required_set);
        let mut positionals = self.command.get_positionals();
        if let Some(last) = positionals.find(|arg| arg.is_last_set())
            && !(needs_nodes && self.taken.is_empty())
        {
            offers.push(("--".to_owned(), plain(last.get_help())));
        }
        offers.retain(|(option, _)| option.starts_with(typed));
        offers
    }
}

fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_positional())
}

/// A description's first line.
fn plain(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is none to run it in where this is tested.
    #[test]
    fn powershells_script_is_one_whole_and_knows_every_kind_of_offer() {
        let script = Shell::Pwsh.script();
        assert!(script.is_ascii(), "before 6 it reads no UTF-8");
        for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
            let mut depth = 0;
            for c in script.chars() {
                depth += i32::from(c == open) - i32::from(c == close);
                assert!(depth >= 0, "{close}");
            }
            assert_eq!(depth, 0, "{open}");
        }
        for part in [OFFER, ":files", ":command", "-Native", "'fail-start.exe'"] {
            assert!(script.contains(part), "{part}");
        }
    }
}
