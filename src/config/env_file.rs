//! `.env`, split into lines as the application's python-dotenv does it, each value of ours read by
//! dotenvy, and a value taken only where both read the same.
//! <https://github.com/theskumar/python-dotenv/blob/main/src/dotenv/parser.py>
//!
//! dotenvy alone would not do: it takes an apostrophe in a comment for a quote that spans lines,
//! `$` for a reference, and stops at the first line that it does not understand, whosever that is.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::names::is_ours;
use super::statements::{Statement, Statements, Value, is_space};
use crate::system::is_named_pipe;

/// What the file sets of ours.
#[derive(Default)]
pub struct EnvFile {
    /// The last value of each name, and its line.
    pub values: BTreeMap<String, (String, usize)>,
    /// The other names, each with its line.
    pub others: Vec<(String, usize)>,
}

/// What is wrong with a line, without any value.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub line: usize,
    pub text: String,
}

/// The nearest `.env`, in the working directory or a parent; also one that cannot be read, which is
/// not passed over.
pub fn find() -> Result<Option<PathBuf>> {
    let here = std::env::current_dir()
        .map_err(|error| anyhow::anyhow!(reason(&error)))
        .context("cannot read the working directory")?;
    for folder in here.ancestors() {
        let path = if folder == here {
            ".env".into()
        } else {
            folder.join(".env")
        };
        match fs::symlink_metadata(&path) {
            // As python-dotenv does it: there are virtual environments of that name.
            Ok(_) if path.is_dir() => {}
            Ok(_) => return Ok(Some(path)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => bail!("cannot read {}: {}", path.display(), reason(&error)),
        }
    }
    Ok(None)
}

/// Reads the file; all that is wrong with it at once, one problem a line.
pub fn read(path: &Path) -> Result<EnvFile> {
    let shown = path.display();
    let content = content(path).map_err(|why| anyhow::anyhow!("cannot read {shown}: {why}"))?;
    parse(&content).map_err(|problems| {
        let lines: Vec<String> = problems
            .iter()
            .map(|Failure { line, text }| format!("{shown}, line {line}: {text}"))
            .collect();
        anyhow::anyhow!(lines.join("\n"))
    })
}

/// What is in a file, or why it cannot be read. A named pipe would block until somebody writes to
/// it; one that is open already, as in `--env-file <(command)`, does not.
pub fn content(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let kind = fs::metadata(path)
        .map_err(|error| reason(&error))?
        .file_type();
    if kind.is_dir() {
        return Err("it is a directory".to_owned());
    }
    if is_named_pipe(path, kind) {
        return Err("it is a pipe".to_owned());
    }
    fs::read(path).map_err(|error| reason(&error))
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_lowercase()
        }
    }
}

/// The text, without the mark that some editors put before it.
fn decode(content: &[u8]) -> std::result::Result<&str, Failure> {
    let problem = |line, text: &str| Failure {
        line,
        text: text.to_owned(),
    };
    // With its mark or without: then every other byte of what is usual here is zero.
    if matches!(
        content,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [_, 0, ..] | [0, _, ..]
    ) {
        return Err(problem(1, "UTF-16: save the file as UTF-8"));
    }
    let text = std::str::from_utf8(content).map_err(|error| {
        let before = String::from_utf8_lossy(&content[..error.valid_up_to()]);
        problem(1 + before.matches('\n').count(), "not UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// What the content sets, or all that is wrong with it.
pub fn parse(content: &[u8]) -> std::result::Result<EnvFile, Vec<Failure>> {
    let original = decode(content)
        .map_err(|problem| vec![problem])?
        .replace("\r\n", "\n");
    // To Python they end a line too.
    let text = original.replace('\r', "\n");
    let mut file = EnvFile::default();
    let mut earlier = HashMap::new();
    let mut problems = Vec::new();
    let (mut line, mut counted) = (1, 0);
    for Statement { start, end, read } in Statements::of(&text) {
        line += text[counted..start].matches('\n').count();
        counted = start;
        let mut complain = |line, text| problems.push(Failure { line, text });
        for (number, name) in swallowed(line, &text[start..end]) {
            let text = format!("{name} is inside the quotes that line {line} opens: close them");
            complain(number, text);
        }
        let first = text[start..].lines().next().unwrap_or_default();
        let has_return = original.as_bytes()[start.saturating_sub(1)..end].contains(&b'\r');
        match (meant(first, read.as_ref()), &read) {
            (Some(name), _) if has_return => {
                let text =
                    "a carriage return alone ends a line here: save the file with LF or CRLF";
                complain(line, format!("{name}: {text}"));
            }
            (Some(name), Some((found, Some(value)))) if *found == name => {
                match agreed(name, value, &earlier) {
                    Ok(value) => {
                        file.values.insert(name.to_owned(), (value, line));
                    }
                    Err(text) => complain(line, format!("{name}: {text}")),
                }
            }
            (Some(name), _) => complain(line, no_value(name)),
            (None, Some((name, _))) => file.others.push(((*name).to_owned(), line)),
            (None, None) => {}
        }
        if let Some((name, value)) = read {
            let value = value.map(|value| interpolate(&value.decoded, &earlier));
            earlier.insert(name.to_owned(), value);
        }
    }
    if problems.is_empty() {
        Ok(file)
    } else {
        Err(problems)
    }
}

fn no_value(name: &str) -> String {
    format!(
        "{name}: expected {name}=value, the value in single quotes where it has spaces, quotes, $, # or \\"
    )
}

/// Our variables that begin a line of what is one statement from this line on.
fn swallowed(line: usize, statement: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (line..).zip(statement.lines()).skip(1);
    lines.filter_map(|(number, inner)| Some((number, assigned(inner)?)))
}

/// Our variable that a statement sets or was meant to, by its first line and what is read of it.
fn meant<'a>(first: &'a str, read: Option<&(&'a str, Option<Value>)>) -> Option<&'a str> {
    match read {
        Some((name, _)) if is_ours(name) => Some(*name),
        Some(_) => first_word(first),
        None => first_word(first).or_else(|| last_word_before_equals(first)),
    }
}

/// Our variable that begins the line, however the line goes on.
fn first_word(line: &str) -> Option<&str> {
    let line = line.trim_start_matches(is_space);
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with(is_space) => rest.trim_start_matches(is_space),
        _ => line,
    };
    let line = line.trim_start_matches(['\'', '"']);
    let end = line.find(|c: char| !(c.is_alphanumeric() || "_.-".contains(c)));
    let word = &line[..end.unwrap_or(line.len())];
    is_ours(word).then_some(word)
}

/// Our variable that the line sets.
fn assigned(line: &str) -> Option<&str> {
    let name = first_word(line)?;
    let (_, rest) = line.split_once(name)?;
    let rest = rest
        .trim_start_matches(['\'', '"'])
        .trim_start_matches(is_space);
    rest.starts_with('=').then_some(name)
}

/// Our variable that a line sets that begins with something else, such as `set`.
fn last_word_before_equals(line: &str) -> Option<&str> {
    let (before, _) = line.split_once('=')?;
    let word = before.split(is_space).rfind(|word| !word.is_empty())?;
    let word = word.trim_matches(['\'', '"']);
    is_ours(word).then_some(word)
}

/// The value if dotenvy and python-dotenv read the same, else what to do about it.
fn agreed(name: &str, value: &Value, earlier: &Earlier) -> std::result::Result<String, String> {
    if value.is_comment {
        return Err(format!(
            "older versions of python-dotenv read the comment as the value: write {name}='' before it"
        ));
    }
    let read = interpolate(&value.decoded, earlier);
    if by_dotenvy(name, value.text, earlier).as_ref() == Some(&read) {
        return Ok(read);
    }
    if read.contains('\r') {
        return Err("not every reader reads a carriage return (\\r): leave it out".to_owned());
    }
    let single = !(value.text.starts_with('\'')
        || read.contains('\'')
        || read.contains("\\\\")
        || read.ends_with('\\')
        || read.contains("${"));
    if value.text.contains("${") && value.text.contains(":-") {
        return Err("fail-start knows no ${NAME:-default}: write the value itself".to_owned());
    }
    let this = if value.text.contains('\\') {
        "a backslash"
    } else {
        "this"
    };
    let spelling = if single {
        "single quotes"
    } else if value.text.contains('$') {
        "double quotes, with \\ before each \" and \\, and with ${DOLLAR} for each $, after a line DOLLAR='$'"
    } else {
        "double quotes, with \\ before each \" and \\"
    };
    Err(format!(
        "not every reader reads {this} the same: put the value in {spelling}"
    ))
}

/// What was set earlier in the file, as python-dotenv reads it; nothing where there was no `=`.
pub type Earlier = HashMap<String, Option<String>>;

/// What dotenvy reads. It looks for what a value refers to in the environment, and then in the
/// lines before it.
fn by_dotenvy(name: &str, text: &str, earlier: &Earlier) -> Option<String> {
    let mut lines = String::new();
    let mut count = 1;
    for (other, value) in earlier {
        if let Some(value) = value
            && text.contains('$')
            && text.contains(other)
            && other.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && other
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('$', "\\$");
            writeln!(lines, "{other}=\"{value}\"").ok()?;
            count += 1;
        }
    }
    writeln!(lines, "{name}={text}").ok()?;
    let mut read = dotenvy::Iter::new(lines.as_bytes())
        .collect::<dotenvy::Result<Vec<_>>>()
        .ok()?;
    let (last, value) = read.pop()?;
    (last == name && read.len() + 1 == count).then_some(value)
}

/// The value with each `${NAME}` and `${NAME:-default}` replaced, as python-dotenv does it,
/// whatever the quotes.
pub fn interpolate(value: &str, earlier: &Earlier) -> String {
    let mut result = String::new();
    let mut rest = value;
    while let Some((before, inside)) = rest.split_once("${") {
        result += before;
        let name_end = inside.find(['}', ':']).unwrap_or(inside.len());
        let (name, end) = inside.split_at(name_end);
        let reference = match end.strip_prefix(":-") {
            Some(default) => default.split_once('}'),
            None => end.strip_prefix('}').map(|after| ("", after)),
        };
        if let Some((default, after)) = reference {
            // `${A=B}` is not what `A` is set to, though the system would have it so.
            let real = std::env::var_os(name).filter(|_| !name.contains('='));
            match (real, earlier.get(name)) {
                (Some(real), _) => result += &real.to_string_lossy(),
                (None, Some(value)) => result += value.as_deref().unwrap_or_default(),
                (None, None) => result += default,
            }
            rest = after;
        } else {
            result += "${";
            rest = inside;
        }
    }
    result + rest
}
