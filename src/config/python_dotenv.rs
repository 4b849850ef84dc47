//! Tests that fail-start and python-dotenv, which the application has, read the same of any file,
//! or that fail-start says in which line they would not.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::env_file::{Failure, interpolate, parse};
use super::names::is_ours;
use super::statements::Statements;

/// Reads each line's file, and prints what an application has of it that calls `load_dotenv()`.
const PYTHON: &str = r#"
import io, json, logging, sys
from dotenv.main import DotEnv
logging.disable()
for line in sys.stdin:
    # As `open()` gives it: decoded, and with every line end made "\n".
    stream = io.TextIOWrapper(io.BytesIO(bytes(json.loads(line))), encoding="utf-8")
    try:
        read = DotEnv(None, stream, override=False).dict()
    except UnicodeDecodeError:
        read = None
    print(json.dumps(read), flush=True)
"#;

type Read = BTreeMap<String, Option<String>>;

/// What python-dotenv reads; nothing if it cannot read the file at all. One Python serves all,
/// until this process ends.
fn python(content: &[u8]) -> Option<Read> {
    static CHILD: OnceLock<Mutex<(Child, BufReader<std::process::ChildStdout>)>> = OnceLock::new();
    let child = CHILD.get_or_init(|| {
        let cache = std::env::var("XDG_CACHE_HOME")
            .unwrap_or_else(|_| std::env::var("HOME").unwrap() + "/.cache");
        let mut child = Command::new(cache + "/fail-start/dotenv/bin/python")
            .args(["-c", PYTHON])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is no python-dotenv: run scripts/install dotenv");
        let answers = BufReader::new(child.stdout.take().unwrap());
        Mutex::new((child, answers))
    });
    let mut child = child.lock().unwrap();
    writeln!(child.0.stdin.as_mut().unwrap(), "{}", json!(content)).unwrap();
    let mut answer = String::new();
    child.1.read_line(&mut answer).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let read = answer.as_object()?.iter();
    Some(
        read.map(|(name, value)| (name.clone(), text(value)))
            .collect(),
    )
}

/// What fail-start reads of ours, or the numbers of the lines that it refuses. Panics if
/// python-dotenv reads anything else, or if a line is refused that is none of ours.
#[track_caller]
fn read(content: &[u8]) -> Result<BTreeMap<String, String>, Vec<Failure>> {
    let shown = String::from_utf8_lossy(content);
    let python = python(content);
    let ours = parse(content).map(|file| {
        let values = file.values.into_iter();
        values
            .map(|(name, (value, _))| (name, value))
            .collect::<BTreeMap<String, String>>()
    });
    match (&ours, &python) {
        (Ok(ours), Some(python)) => {
            let theirs: BTreeMap<_, _> = python
                .iter()
                .filter(|(name, _)| is_ours(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            let ours: BTreeMap<String, _> = ours
                .iter()
                .map(|(name, value)| (name.clone(), Some(value.clone())))
                .collect();
            assert_eq!(ours, theirs, "{shown:?}");
        }
        (Ok(_), None) => panic!("python-dotenv cannot read {shown:?}"),
        (Err(problems), Some(_)) => {
            let text = shown.replace("\r\n", "\n").replace('\r', "\n");
            let lines: Vec<&str> = text.split('\n').collect();
            for Failure { line, text } in problems {
                let named = ["_DB_", "USE_CLOUD_SQL", "UTF-16"].iter().any(|part| {
                    text.contains(part) && (lines[line - 1].contains(part) || *part == "UTF-16")
                });
                assert!(named, "{line}: {text}: {shown:?}");
            }
        }
        (Err(_), None) => {}
    }
    ours
}

const HOST: &str = "LOCAL_DB_HOST";

/// Files, and what `LOCAL_DB_HOST` is in them.
const READ: &[(&str, &str)] = &[
    // Nothing of ours, whatever it is.
    ("", ""),
    ("APP_NAME=My Shop\n", ""),
    ("CFG={\"a\": 1}\n", ""),
    ("DIR=C:\\Users\\me\n", ""),
    ("my-key=1\n", ""),
    ("[mysql]\n", ""),
    ("CRON=*/5 * * * *\n", ""),
    ("KEY='never closed\n", ""),
    ("=x\nexport\nexport =1\n'\n\"\n", ""),
    ("# LOCAL_DB_HOST=x\n  # export LOCAL_DB_HOST=x\n", ""),
    (
        "A=\"\n# LOCAL_DB_HOST=x\nthe LOCAL_DB_HOST is\nLOCAL_DB_HOST is\n\"\n",
        "",
    ),
    ("LOCAL_DB_POOL=pa$$ 'x\n", ""),
    // What stands around ours does not matter.
    (
        "APP_NAME=My Shop\nDIR=C:\\\nT=Bob's\nLOCAL_DB_HOST=h\nMOTD=don't\n",
        "h",
    ),
    ("A=1  # Bob's\nLOCAL_DB_HOST=h\nB=2  # don't\n", "h"),
    (
        "A=1    # Bob's\nLOCAL_DB_HOST=h    # Bob's\nB=2    # don't\n",
        "h",
    ),
    ("LOCAL_DB_HOST='h'  # Bob's\nB='x'\n", "h"),
    ("A='never closed\nLOCAL_DB_HOST=h\n", "h"),
    ("A=\"x\\\nLOCAL_DB_HOST=h\n", "h"),
    ("CERT='one\ntwo'\nLOCAL_DB_HOST=h\n", "h"),
    // One line, in all its forms.
    ("LOCAL_DB_HOST=h", "h"),
    ("  LOCAL_DB_HOST=h  \n", "h"),
    ("\tLOCAL_DB_HOST\t=\th\t\n", "h"),
    ("LOCAL_DB_HOST = h # comment\n", "h"),
    ("LOCAL_DB_HOST=h#1\n", "h#1"),
    ("LOCAL_DB_HOST=\n", ""),
    ("LOCAL_DB_HOST=''\n", ""),
    ("LOCAL_DB_HOST='' # none\n", ""),
    ("export LOCAL_DB_HOST=h\n", "h"),
    ("export\t  LOCAL_DB_HOST=h\n", "h"),
    ("'LOCAL_DB_HOST'=h\n", "h"),
    ("export 'LOCAL_DB_HOST' = 'h'\n", "h"),
    ("LOCAL_DB_HOST='h'#comment\n", "h"),
    ("LOCAL_DB_HOST=h\u{a0}\n", "h"),
    ("LOCAL_DB_HOST=a\nLOCAL_DB_HOST=b\n", "b"),
    ("LOCAL_DB_HOST=a\nLOCAL_DB_HOST=\n", ""),
    ("LOCAL_DB_HOST='a\nb'\n", "a\nb"),
    ("\u{feff}LOCAL_DB_HOST=h\n", "h"),
    ("A=1\r\nLOCAL_DB_HOST=h\r\nB=2\r\n", "h"),
    ("LOCAL_DB_HOST='a\r\nb'\r\n", "a\nb"),
    // Quotes and what they escape.
    ("LOCAL_DB_HOST='pa$$ #1 \"q\" \\x'\n", "pa$$ #1 \"q\" \\x"),
    (
        "LOCAL_DB_HOST=\"it's \\\"q\\\" \\\\ #1\\n2\"\n",
        "it's \"q\" \\ #1\n2",
    ),
    // References.
    ("A=x\nLOCAL_DB_HOST=${A}y\n", "xy"),
    ("A=x\nLOCAL_DB_HOST=\"${A} ${A}\"\n", "x x"),
    ("A=$x\"y\nLOCAL_DB_HOST=\"${A}\"\n", "$x\"y"),
    ("LOCAL_DB_HOST=a\nLOCAL_DB_HOST=${LOCAL_DB_HOST}b\n", "ab"),
    (
        "LOCAL_DB_HOST=x${NOT_SET_ANYWHERE}\nNOT_SET_ANYWHERE=later\n",
        "x",
    ),
    ("A\nLOCAL_DB_HOST=x${A}\n", "x"),
    (
        "DOLLAR='$'\nLOCAL_DB_HOST=\"it's ${DOLLAR}{5} \\\"q\\\" \\\\\"\n",
        "it's ${5} \"q\" \\",
    ),
];

/// Files, and the numbers of the lines that are refused.
const REFUSED: &[(&[u8], &[usize])] = &[
    (b"LOCAL_DB_HOST=pa$$word\n", &[1]),
    (b"A=1\nLOCAL_DB_HOST=p@$sword1!\n", &[2]),
    (b"LOCAL_DB_HOST=abc$ # note\n", &[1]),
    (b"LOCAL_DB_HOST=#x\n", &[1]),
    (b"LOCAL_DB_HOST= # note\n", &[1]),
    (b"LOCAL_DB_HOST=abc\\\n", &[1]),
    (b"LOCAL_DB_HOST=a\\nb\n", &[1]),
    (b"LOCAL_DB_HOST=ab\"cd\"ef\n", &[1]),
    (b"LOCAL_DB_HOST=Bob's\n", &[1]),
    (b"LOCAL_DB_HOST=a b\n", &[1]),
    (b"LOCAL_DB_HOST=${APP_USER:-shop}\n", &[1]),
    (b"APP_USER=x\nLOCAL_DB_HOST=$APP_USER\n", &[2]),
    (b"A=x\nLOCAL_DB_HOST='${A}'\n", &[2]),
    (b"A=x\nLOCAL_DB_HOST=\"\\${A}\"\n", &[2]),
    (b"my-key=x\nLOCAL_DB_HOST=${my-key}\n", &[2]),
    (b"LOCAL_DB_HOST=${A\n", &[1]),
    (b"# comment\nLOCAL_DB_HOST=${:-h}\n", &[2]),
    (b"LOCAL_DB_HOST='a\\'b'\n", &[1]),
    (b"LOCAL_DB_HOST='a\\\\b'\n", &[1]),
    (b"LOCAL_DB_HOST=\"a\\tb\"\n", &[1]),
    (b"LOCAL_DB_HOST=\"$5\"\n", &[1]),
    (b"LOCAL_DB_HOST='a'b\n", &[1]),
    (b"LOCAL_DB_HOST='a\n", &[1]),
    (b"LOCAL_DB_HOST=\"a\nB=1\n", &[1]),
    (b"LOCAL_DB_HOST\n", &[1]),
    (b"LOCAL_DB_HOST=a\nLOCAL_DB_HOST\n", &[2]),
    (b"LOCAL_DB_HOST localhost\n", &[1]),
    (b"LOCAL_DB_HOST: localhost\n", &[1]),
    (b"LOCAL_DB_HOST:localhost\n", &[1]),
    (b"LOCAL_DB_HOST+=x\n", &[1]),
    (b"\"LOCAL_DB_HOST\"=x\n", &[1]),
    (b"set LOCAL_DB_HOST=x\n", &[1]),
    (b"- LOCAL_DB_HOST=x\n", &[1]),
    (b"export 'LOCAL_DB_HOST=x\n", &[1]),
    (b"A='x\nLOCAL_DB_HOST=h\nB=1'\n", &[2]),
    (b"A='x\nLOCAL_DB_HOST=h\nB=don't\n", &[2]),
    (
        b"A='x\n\n export LOCAL_DB_HOST = h\nLOCAL_DB_PORT=1\n'\n",
        &[3, 4],
    ),
    (b"'tis\nLOCAL_DB_HOST=h\nB='x'\n", &[2]),
    (b"LOCAL_DB_PASSWORD='x\nLOCAL_DB_HOST=h\nB=1'\n", &[2]),
    (b"A=1\rLOCAL_DB_HOST=h\rB=2\r", &[2]),
    (b"A=1\n\rLOCAL_DB_HOST=h\n", &[3]),
    (b"LOCAL_DB_HOST='a\rb'\n", &[1]),
    (b"A=1\nB=\xff\n", &[2]),
    (b"\xff\xfeL\0O\0", &[1]),
    (b"L\0O\0C\0A\0L\0", &[1]),
    (
        b"LOCAL_DB_HOST=a b\nA=a b\nUSE_CLOUD_SQL=$\nTESTER_LOCAL_DB_PASSWORD_NODE2='\n",
        &[1, 3, 4],
    ),
    (b"A=1\r\n\r\nLOCAL_DB_HOST=a b\r\n", &[3]),
];

#[test]
fn these_files_are_read_as_the_application_reads_them_or_refused_with_the_line() {
    for (content, expected) in READ {
        let read =
            read(content.as_bytes()).unwrap_or_else(|problems| panic!("{content:?}: {problems:?}"));
        assert_eq!(
            read.get(HOST).map_or("", String::as_str),
            *expected,
            "{content:?}"
        );
    }
    for (content, expected) in REFUSED {
        let shown = String::from_utf8_lossy(content);
        let problems = read(content).expect_err(&shown);
        let lines: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, *expected, "{shown:?}: {problems:?}");
    }
}

#[test]
fn the_real_environment_wins_where_a_value_refers_to_a_variable() {
    let read = read(b"HOME=/x\nLOCAL_DB_HOST=${HOME}\n").unwrap();
    assert_eq!(read[HOST], std::env::var("HOME").unwrap());
}

/// The one spelling for all values, as README.md and `.env.example` have it.
fn spelt(name: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('$', "${DOLLAR}");
    format!("DOLLAR='$'\n{name}=\"{value}\"\n")
}

#[test]
fn the_example_is_read_the_same_and_what_it_says_of_any_value_is_true() {
    let example = include_str!("../../.env.example");
    read(example.as_bytes()).unwrap();
    let spelling: Vec<&str> = example
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .collect();
    let (spelling, value) = (spelling.join("\n") + "\n", "it's \"$5\" \\");
    assert_eq!(spelling, spelt("LOCAL_DB_PASSWORD", value));
    for document in [example, include_str!("../../README.md")] {
        assert!(document.contains(value));
    }
    assert!(include_str!("../../README.md").contains(&spelling));
}

/// Bits of files that one reader or the other has a meaning for.
fn bits() -> impl Strategy<Value = String> {
    let meaningful = [
        HOST,
        "LOCAL_DB_PORT_NODE2",
        "USE_CLOUD_SQL",
        "APP",
        "A",
        "HOME",
        "export",
        "set",
        "DOLLAR",
        "=",
        "=",
        "=",
        " ",
        "  ",
        "\t",
        "#",
        "'",
        "\"",
        "\\",
        "\\\\",
        "\\n",
        "\\'",
        "\\\"",
        "\\$",
        "$",
        "${",
        "}",
        ":-",
        "${A}",
        "${APP:-x}",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\u{a0}",
        "\x0b",
        "\x1c",
        "\u{2028}",
        "\u{feff}",
        "é",
        "x",
        "1",
    ];
    prop_oneof![
        9 => proptest::sample::select(meaningful.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

fn lines() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec![HOST, "LOCAL_DB_PORT", "A", "APP", "DOLLAR", "HOME"]);
    let value = proptest::collection::vec(bits(), 0..6).prop_map(|bits| bits.concat());
    let (before, after) = (
        proptest::sample::select(vec!["", "", "", " ", "export "]),
        proptest::sample::select(vec!["", "", " # it's", "  # \"", " "]),
    );
    let quote = proptest::sample::select(vec!["", "'", "\""]);
    (
        before,
        name,
        proptest::sample::select(vec!["=", " = "]),
        quote,
        value,
        after,
    )
        .prop_map(|(before, name, equals, quote, value, after)| {
            format!("{before}{name}{equals}{quote}{value}{quote}{after}\n")
        })
}

fn files() -> impl Strategy<Value = String> {
    let concat = |parts: Vec<String>| parts.concat();
    prop_oneof![
        proptest::collection::vec(bits(), 0..40).prop_map(concat),
        proptest::collection::vec(lines(), 0..6).prop_map(concat),
    ]
}

proptest! {
    #[test]
    fn no_file_is_read_otherwise_than_the_application_reads_it(files in proptest::collection::vec(files(), 10)) {
        for content in files {
            let _ = read(content.as_bytes());
        }
    }

    /// The lines of others count too, since ours may refer to them.
    #[test]
    fn every_line_is_parsed_as_python_dotenv_parses_it(files in proptest::collection::vec(files(), 10)) {
        for content in files {
            let text = content.strip_prefix('\u{feff}').unwrap_or(&content).replace("\r\n", "\n").replace('\r', "\n");
            let mut read = HashMap::new();
            for (name, value) in Statements::of(&text).filter_map(|statement| statement.read) {
                let value = value.map(|value| interpolate(&value.decoded, &read));
                read.insert(name.to_owned(), value);
            }
            let read: Read = read.into_iter().collect();
            prop_assert_eq!(Some(read), python(content.as_bytes()), "{:?}", content);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(content in any::<Vec<u8>>()) {
        let _ = read(&content);
    }

    #[test]
    fn the_documented_spelling_is_read_the_same_for_every_value(
        values in proptest::collection::vec(proptest::collection::vec(bits(), 0..12).prop_map(|bits| bits.concat()), 10),
    ) {
        for value in values.into_iter().filter(|value| !value.contains('\r')) {
            let spelt = spelt("LOCAL_DB_PASSWORD", &value);
            match read(spelt.as_bytes()) {
                Ok(read) => prop_assert_eq!(&read["LOCAL_DB_PASSWORD"], &value),
                // Lines of it that look like settings.
                Err(problems) => prop_assert!(problems.iter().all(|problem| problem.text.contains("inside the quotes")), "{spelt}: {problems:?}"),
            }
        }
    }

    #[test]
    fn whoever_spells_a_value_as_an_error_says_has_it_read(
        values in proptest::collection::vec("([ -~]|\\$\\{[A-Z]*\\}?|\\\\|['\"$])([ -~é]|\\$|['\"\\\\]){0,6}", 6),
    ) {
        for value in values {
            let Some(Some(meant)) = python(format!("{HOST}={value}\n").as_bytes()).and_then(|mut read| read.remove(HOST)) else { continue };
            let Err(problems) = read(format!("{HOST}={value}\n").as_bytes()) else { continue };
            let text = &problems[0].text;
            let again = if text.contains("single quotes:") || text.ends_with("in single quotes") {
                format!("{HOST}='{meant}'\n")
            } else if text.contains("double quotes") {
                // One that python reads away may have been meant.
                prop_assert!(text.contains("DOLLAR") || !meant.contains('$'));
                prop_assert!(!text.contains("DOLLAR") || value.contains('$'));
                spelt(HOST, &meant)
            } else {
                continue;
            };
            prop_assert_eq!(&read(again.as_bytes()).unwrap()[HOST], &meant, "{} -> {}", value, again);
        }
    }

    #[test]
    fn an_error_shows_nothing_of_the_line(before in "[A-Z=' \n#$\"]{0,40}", after in any::<String>()) {
        let content = format!("{before}LOCAL_DB_PASSWORD=s3cret{after}");
        if let Err(problems) = parse(content.as_bytes()) {
            prop_assert!(problems.iter().all(|problem| !problem.text.contains("s3cret")));
        }
    }
}
