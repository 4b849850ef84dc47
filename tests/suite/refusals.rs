//! What cannot be done is refused with its reason, and nothing is touched.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{Finished, Kind, Nodes, Program, TempDir, command, free_port, servers};

fn run_alone(args: &[&str], variables: &[(&str, &str)]) -> Finished {
    let folder = TempDir::new();
    let mut command = command(folder.path(), args);
    command.envs(variables.iter().copied());
    Program::start(&mut command).finish()
}

/// What is typed behind the name, and what is said of it.
const WRONG: &[(&str, &str)] = &[
    ("", "which node? example: fail-start 1"),
    ("--json", "which node? example: fail-start 1"),
    (
        "-- make test",
        "which node? example: fail-start 1 -- make test",
    ),
    (
        "1 --",
        "-- needs a COMMAND after it, for example: fail-start 1 -- make test",
    ),
    ("help", "for help, type: fail-start --help"),
    ("status help", "for help, type: fail-start status --help"),
    ("0", "'0' is not a node number (example: fail-start 1 3)"),
    ("-1", "'-1' is not a node number (example: fail-start 1 3)"),
    (
        "1.5",
        "'1.5' is not a node number (example: fail-start 1 3)",
    ),
    (
        "99999999999",
        "'99999999999' is not a node number (example: fail-start 1 3)",
    ),
    (
        "all",
        "'all' is not a node number (example: fail-start 1 3)",
    ),
    (
        "status all",
        "'all' is not a node number (example: fail-start status 1 3; all nodes: fail-start status)",
    ),
    ("node2", "'node2' is not a node number: type fail-start 2"),
    ("1,2", "separate numbers with spaces: fail-start 1 2"),
    ("1-3", "separate numbers with spaces: fail-start 1 2 3"),
    (
        "status 1,2",
        "separate numbers with spaces: fail-start status 1 2",
    ),
    ("1 status", "status comes first: fail-start status 1"),
    (
        "1 --timeout 3s 2 recover",
        "recover comes first: fail-start recover 1 2",
    ),
    ("1 man", "man comes first: fail-start man"),
    (
        "ststus 1",
        "there is no 'ststus': did you mean fail-start status?",
    ),
    (
        "--status",
        "there is no option --status: did you mean fail-start status?",
    ),
    (
        "1 make test",
        "'make' is not a node number; to run it as a command: fail-start 1 -- make test",
    ),
    (
        "drill make test",
        "'make' is not a node number; to run it as a command: fail-start drill -- make test",
    ),
    (
        "1 for 30s",
        "'for' is not a node number: did you mean --for?",
    ),
    (
        "1 --dryrun",
        "there is no option --dryrun: did you mean --dry-run?",
    ),
    (
        "--dryrun 1 -- true",
        "there is no option --dryrun: did you mean --dry-run?",
    ),
    (
        "1 -dry-run",
        "there is no option -dry-run: did you mean --dry-run?",
    ),
    (
        "1 --dry_run",
        "there is no option --dry_run: did you mean --dry-run?",
    ),
    (
        "1 --keep-session",
        "there is no option --keep-session: did you mean --keep-sessions?",
    ),
    (
        "1 --keep",
        "there is no option --keep: did you mean --keep-sessions?",
    ),
    (
        "1 --tiemout=3s",
        "there is no option --tiemout: did you mean --timeout?",
    ),
    (
        "1 --nonsense",
        "there is no option --nonsense (help: fail-start --help)",
    ),
    (
        "1 --junit x",
        "--junit is an option of fail-start drill: see fail-start drill --help",
    ),
    ("1 -x", "there is no option -x (help: fail-start --help)"),
    ("status --for 3s", "fail-start status has no option --for"),
    ("--for 3s status", "status cannot be used with --for"),
    ("1 --json -- true", "--json cannot be used with a command"),
    ("1 --json --json", "--json is given twice"),
    ("1 --json=x", "--json takes no value"),
    ("1 --for", "--for needs a value, for example: --for 30s"),
    (
        "1 --for soon",
        "--for takes a duration such as 30s, 5m or 1h",
    ),
    ("1 --for 0s", "--for takes 1ms to 30d"),
    (
        "1 --timeout soon",
        "--timeout takes a duration such as 500ms, 10s or 1m",
    ),
    ("1 --timeout 2h", "--timeout takes 1ms to 1h"),
    ("1 --method drop", "--method takes lock or revoke"),
    (
        "1 --method",
        "--method needs a value, for example: --method lock",
    ),
    (
        "1 --env-file",
        "--env-file needs a value, for example: --env-file PATH",
    ),
    (
        "completions",
        "which shell? example: fail-start completions bash",
    ),
    (
        "completions tcsh",
        "fail-start completions takes bash, zsh, fish or powershell",
    ),
];

#[test]
fn wrong_arguments_say_what_to_type() {
    let folder = TempDir::new();
    for (line, says) in WRONG {
        let args: Vec<&str> = line.split_whitespace().collect();
        let finished = Program::start(&mut command(folder.path(), &args)).finish();
        finished.assert_status(2);
        assert_eq!(finished.err, format!("error: {says}\n"), "{line}");
        let to_program = args
            .iter()
            .take_while(|arg| **arg != "--")
            .any(|arg| *arg == "--json");
        if to_program {
            let events = finished.events();
            assert_eq!(
                (&events[0]["event"], &events[0]["message"]),
                (&"error".into(), &(*says).into())
            );
        } else {
            assert_eq!(finished.out, "");
        }
    }
}

#[test]
fn a_mistyped_option_behind_the_dashes_is_no_command() {
    run_alone(&["1", "--", "--dryrun"], &[("PATH", "/bin")])
        .assert_status(127)
        .assert_says("error: --dryrun: command not found\n");
}

#[test]
fn no_line_of_the_help_is_wider_than_80_columns() {
    for args in [
        &["-h"][..],
        &["--help"],
        &["status", "--help"],
        &["recover", "-h"],
        &["completions", "--help"],
    ] {
        let help = run_alone(args, &[("COLUMNS", "200")]);
        help.assert_status(0);
        for line in help.out.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_asked_for_and_cannot_be_written_is_an_error() {
    let folder = TempDir::new();
    for args in [
        &["--help"][..],
        &["--version"],
        &["man"],
        &["completions", "zsh"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let mut command = command(folder.path(), args);
        let output = command.stdout(full.unwrap()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        let why = "error: cannot write standard output: no storage space\n";
        assert_eq!((output.status.code(), &*told), (Some(1), why), "{args:?}");
    }
}

#[test]
fn the_manual_page_reads_well_at_80_columns() {
    let folder = TempDir::new();
    let page = Program::start(&mut command(folder.path(), &["man"])).finish();
    page.assert_status(0);
    folder.write("fail-start.1", &page.out);
    let mut man = Command::new("man");
    man.args(["--warnings", "-l", "fail-start.1"])
        .current_dir(folder.path());
    man.env("MANWIDTH", "80")
        .env("LC_ALL", "C.UTF-8")
        .env("MAN_KEEP_FORMATTING", "");
    let read = Program::start(&mut man).finish();
    read.assert_status(0);
    assert_eq!(read.err, "", "nothing to warn about");
    let headings: Vec<&str> = read
        .out
        .lines()
        .filter(|line| line.starts_with(char::is_uppercase))
        .collect();
    let sections = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "COMMANDS",
        "OPTIONS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
        "EXAMPLES",
        "SEE ALSO",
    ];
    assert_eq!(headings[1..=sections.len()], sections, "{}", read.out);
    for line in read.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for whole in [
        "       fail-start [OPTION]... NODE... [-- COMMAND...]\n",
        "       fail-start 2 -- make test\n              node 2 is offline while make runs\n",
        "       130    interrupted (Ctrl-C, Ctrl-\\, SIGTERM, SIGHUP), and every node is\n              back\n",
        "       --for DURATION\n",
    ] {
        assert!(read.out.contains(whole), "{whole}{}", read.out);
    }
    // Every variable of the example, but for those that say the same of another node or
    // environment.
    for line in include_str!("../../.env.example").lines() {
        let Some((name, _)) = line.trim_start_matches('#').split_once('=') else {
            continue;
        };
        let is_name = name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
            && name != "DOLLAR";
        if is_name
            && !name.contains("_NODE")
            && !name.starts_with("CLOUD")
            && !name.starts_with("TESTER_CLOUD")
        {
            assert!(read.out.contains(name), "{name}");
        }
    }
    // A page that it refers to is there.
    for (name, _) in page
        .out
        .match_indices("(1)")
        .map(|(at, _)| page.out[..at].rsplit_once("\\fB").unwrap().1)
        .map(|name| name.split_once('\\').unwrap())
    {
        let is_there = Command::new("man")
            .args(["--where", "1", name])
            .output()
            .unwrap();
        assert!(
            is_there.status.success() || std::path::Path::new("/usr/bin").join(name).exists(),
            "{name}"
        );
    }
}

#[test]
fn help_and_version_are_status_0() {
    for (args, says) in [
        (
            &["--help"][..],
            &[
                "Exit status:",
                "fail-start 2 3",
                "The four cases:",
                "130",
                "--env-file",
            ][..],
        ),
        (&["-h"], &["fail-start 2 3", "--timeout"]),
        (&["--version"], &["fail-start 0."]),
    ] {
        let finished = run_alone(args, &[]);
        finished.assert_status(0);
        for text in says {
            assert!(
                finished.out.contains(text),
                "{args:?}: {text}: {}",
                finished.out
            );
        }
    }
}

#[test]
fn a_wrong_setting_is_named_without_its_value() {
    let cloud = ("USE_CLOUD_SQL", "true");
    for (variables, says) in [
        (&[("USE_CLOUD_SQL", "s3cret")][..], "USE_CLOUD_SQL"),
        (
            &[("USE_CLOUD_SQL", "1")],
            "USE_CLOUD_SQL: expected true or false",
        ),
        (
            &[("LOCAL_DB_PORT", "s3cret")],
            "error: the environment: LOCAL_DB_PORT: expected a port",
        ),
        (&[("LOCAL_DB_PORT", "0")], "1 to 65535"),
        (
            &[("LOCAL_DB_PORT_NODE1", "65536")],
            "LOCAL_DB_PORT_NODE1: expected a port, 1 to 65535",
        ),
        (&[("LOCAL_DB_SSL_MODE", "s3cret")], "LOCAL_DB_SSL_MODE"),
        (
            &[("LOCAL_DB_SSL_MODE_NODE1", "s3cret")],
            "LOCAL_DB_SSL_MODE_NODE1: expected",
        ),
        (
            &[("LOCAL_DB_NAME", "Information_Schema")],
            "LOCAL_DB_NAME: expected the application's database, not one of the server's own",
        ),
        (
            &[("LOCAL_DB_SSL_CA", "s3cret.pem")],
            "LOCAL_DB_SSL_CA: cannot read the file that it names: no such file\n",
        ),
        (
            &[(
                "LOCAL_DB_SSL_CA",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            )],
            "LOCAL_DB_SSL_CA: no certificate is in the file that it names (PEM or DER)\n",
        ),
        (
            &[cloud, ("TESTER_CLOUD_DB_PASSWORD", "p")],
            "CLOUD_DB_HOST is not set",
        ),
        (
            &[cloud, ("CLOUD_DB_HOST", "h")],
            "TESTER_CLOUD_DB_PASSWORD is not set",
        ),
    ] {
        let finished = run_alone(&["1"], variables);
        finished.assert_status(2).assert_says(says);
        assert!(!finished.err.contains("s3cret"), "{}", finished.err);
        assert_eq!(finished.out, "");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    run_alone(&["1", "2"], &[("USE_CLOUD_SQL", "true")])
        .assert_status(2)
        .assert_says("CLOUD_DB_HOST is not set")
        .assert_says("TESTER_CLOUD_DB_PASSWORD is not set");
}

#[test]
fn a_node_that_no_variable_names_does_not_exist() {
    run_alone(&["4"], &[])
        .assert_status(2)
        .assert_says(
            "there is no node 4 (nodes: 1, 2, 3). To add it, set LOCAL_DB_PORT_NODE4 or LOCAL_DB_HOST_NODE4 in .env\n",
        );
    // With a port it does: then the reason is another.
    let port = free_port().to_string();
    run_alone(&["4", "--json"], &[("LOCAL_DB_PORT_NODE4", &port)])
        .assert_status(1)
        .assert_kinds(&["nothing_listens"]);
}

/// What it says with this `.env`.
fn with_file(content: impl AsRef<[u8]>, args: &[&str]) -> Finished {
    let folder = TempDir::new();
    folder.write(".env", content);
    Program::start(&mut command(folder.path(), args)).finish()
}

#[test]
fn a_line_of_ours_that_is_not_read_as_the_application_reads_it_is_named_with_no_value() {
    for (content, lines) in [
        ("LOCAL_DB_HOST s3cret", &[1][..]),
        ("# comment\n\nLOCAL_DB_HOST=ok\nLOCAL_DB_PASSWORD\n", &[4]),
        ("A=1\nLOCAL_DB_PASSWORD=s3cret more\nB=2\n", &[2]),
        ("A=1\r\nset LOCAL_DB_PASSWORD=s3cret\r\n", &[2]),
        ("A=1\nLOCAL_DB_PASSWORD='s3cret\nC=2\n# the end\n", &[2]),
        ("A=\"two\nlines\"\nLOCAL_DB_PASSWORD=s3cret\\q\n", &[3]),
        (
            "TITLE='Bob\nTESTER_LOCAL_DB_USER=s3cret\nMOTD=don't\n",
            &[2],
        ),
        (
            "LOCAL_DB_PASSWORD=pa$$s3cret\nLOCAL_DB_PORT=1\nLOCAL_DB_NAME=s3cret#\\",
            &[1, 3],
        ),
        ("A=1\rLOCAL_DB_PASSWORD=s3cret\r", &[2]),
        ("A=1\n\nLOCAL_DB_PORT=s3cret\n", &[3]),
        ("A=1\n\nUSE_CLOUD_SQL=s3cret\n", &[3]),
    ] {
        let finished = with_file(content, &["1"]);
        finished.assert_status(2);
        for line in lines {
            finished.assert_says(&format!("error: .env, line {line}: "));
        }
        assert_eq!(
            finished.err.lines().count(),
            lines.len(),
            "{}",
            finished.err
        );
        assert!(!finished.err.contains("s3cret"), "{}", finished.err);
        assert_eq!(finished.out, "");
    }
    with_file(b"A=1\nB=\xff\n", &["1"])
        .assert_status(2)
        .assert_says("line 2: not UTF-8");
    with_file(b"\xff\xfeA\0=\0", &["1"])
        .assert_status(2)
        .assert_says("line 1: UTF-16: save the file as UTF-8");
}

#[test]
fn a_line_of_the_application_is_no_error() {
    let port = free_port();
    let content = format!(
        "APP_NAME=My Shop\nCFG={{\"a\": 1}}\nDIR=C:\\Users\\me\nmy-key=1\n[mysql]\nCRON=*/5 * * * *\n\
         TITLE=Bob's  # isn't\nexport LOCAL_DB_PORT={port}  # it's\nMOTD=don't\n=\nexport\nKEY='open\n"
    );
    with_file(&content, &["1"])
        .assert_status(1)
        .assert_says(&format!("node 1 (localhost:{port}): "));
}

#[test]
fn a_misspelt_name_is_a_warning_with_the_right_one() {
    let port = free_port();
    let content = format!("LOCAL_DB_PORT={port}\nLOCAL_DB_PROT_NODE2=1\nLOCAL_DB_POOL=5\n");
    let warning = ".env, line 2: LOCAL_DB_PROT_NODE2 is not known: is LOCAL_DB_PORT_NODE2 meant?";
    let finished = with_file(&content, &["1", "--json"]);
    finished
        .assert_status(1)
        .assert_kinds(&["configuration", "nothing_listens"])
        .assert_says(&format!("warning: {warning}\n"));
    let events = finished.events();
    assert_eq!(
        (&events[0]["event"], &events[0]["message"]),
        (&"warning".into(), &warning.into())
    );
    assert!(events[0]["node"].is_null());
    run_alone(&["4"], &[("USE_CLOUD_SQ", "true")]).assert_says(
        "warning: the environment: USE_CLOUD_SQ is not known: is USE_CLOUD_SQL meant?",
    );
}

#[test]
fn a_variable_that_is_set_to_nothing_makes_no_node() {
    let [one, two, three] = [free_port(), free_port(), free_port()];
    let content = format!(
        "LOCAL_DB_PORT={one}\nLOCAL_DB_PORT_NODE2={two}\nLOCAL_DB_PORT_NODE3={three}\nLOCAL_DB_HOST_NODE4=\n\
         LOCAL_DB_PORT_NODE0=1\nLOCAL_DB_PORT_NODE007=1\n"
    );
    let finished = with_file(content, &["status"]);
    finished.assert_status(1);
    assert_eq!(finished.out.lines().count(), 3, "{}", finished.out);
    assert_eq!(finished.err.lines().count(), 2, "{}", finished.err);
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_said_and_not_passed_over() {
    let folder = TempDir::new();
    let file = folder.path().join(".env");
    let child = folder.path().join("child");
    std::fs::create_dir(&child).unwrap();
    let says = |reason: &str| {
        let inside = Program::start(&mut command(folder.path(), &["1"])).finish();
        let expected = format!("error: cannot read .env: {reason}\n");
        assert_eq!((inside.status, inside.err), (2, expected));
        let below = Program::start(&mut command(&child, &["1"])).finish();
        let expected = format!("error: cannot read {}: {reason}\n", file.display());
        assert_eq!((below.status, &below.err), (2, &expected));
        let named = ["1", "--env-file", file.to_str().unwrap()];
        let named = Program::start(&mut command(Path::new("/"), &named)).finish();
        assert_eq!((named.status, named.err), (2, expected));
    };
    symlink("no-such-file", &file).unwrap();
    says("no such file");
    std::fs::remove_file(&file).unwrap();
    symlink(".env", &file).unwrap();
    says("too many levels of symbolic links");
    std::fs::remove_file(&file).unwrap();
    let made = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    says("it is a pipe");
}

#[test]
fn a_folder_of_that_name_is_passed_over() {
    let folder = TempDir::new();
    let child = folder.path().join("child");
    std::fs::create_dir_all(child.join(".env")).unwrap();
    folder.write(".env", "LOCAL_DB_PORT=x\n");
    let file = folder.path().join(".env");
    Program::start(&mut command(&child, &["1"]))
        .finish()
        .assert_status(2)
        .assert_says(&format!(
            "{}, line 1: LOCAL_DB_PORT: expected",
            file.display()
        ));
    // But not where it is asked for.
    Program::start(&mut command(&child, &["1", "--env-file", ".env"]))
        .finish()
        .assert_status(2)
        .assert_says("error: cannot read .env: it is a directory\n");
}

#[test]
fn a_file_that_may_not_be_read_is_said() {
    let folder = TempDir::new();
    let child = folder.path().join("child");
    std::fs::create_dir(&child).unwrap();
    let program = child.join("fail-start");
    std::fs::copy(env!("CARGO_BIN_EXE_fail-start"), &program).unwrap();
    let says = |reason: &str| {
        // To root no permission is missing.
        let mut started = Command::new("setpriv");
        if rustix::process::getuid().is_root() {
            started.args(["--reuid=65534", "--clear-groups"]);
        }
        let started = started.arg("./fail-start").arg("1").current_dir(&child);
        let finished = Program::start(started).finish();
        assert_eq!(
            (finished.status, finished.err),
            (2, format!("error: cannot read {reason}\n"))
        );
    };
    let mode =
        |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let file = folder.write(".env", "");
    mode(&file, 0o000);
    says(&format!("{}: permission denied", file.display()));
    let own = child.join(".env");
    std::fs::copy(&file, &own).unwrap();
    mode(&own, 0o000);
    says(".env: permission denied");
}

#[test]
fn a_pipe_that_is_open_already_is_read() {
    let folder = TempDir::new();
    let program = env!("CARGO_BIN_EXE_fail-start");
    let line = format!("{program} 1 --env-file <(printf 'LOCAL_DB_PORT=x\\n')");
    let mut bash = Command::new("bash");
    let started = bash.args(["-c", &line]).current_dir(folder.path());
    Program::start(started)
        .finish()
        .assert_status(2)
        .assert_says(", line 1: LOCAL_DB_PORT: expected a port");
}

#[test]
fn the_first_line_says_which_file_was_read() {
    let folder = TempDir::new();
    let child = folder.path().join("child");
    std::fs::create_dir(&child).unwrap();
    let port = free_port();
    let file = folder.write(".env", format!("LOCAL_DB_PORT={port}\n"));
    let above = format!("from {}", file.display());
    for (folder, args, origin) in [
        (folder.path(), &["1"][..], "from .env"),
        (&child, &["1"], &above),
        (&child, &["1", "--env-file", "../.env"], "from ../.env"),
    ] {
        let finished = Program::start(&mut command(folder, args)).finish();
        let expected = format!("local environment: node 1 (localhost:{port}), {origin}\n");
        assert_eq!(finished.out, expected);
    }
    let port = port.to_string();
    let without = run_alone(&["1"], &[("LOCAL_DB_PORT", &port)]);
    let expected = format!("local environment: node 1 (localhost:{port}), no .env\n");
    assert_eq!(without.out, expected);
}

#[test]
fn an_env_file_that_is_not_there_is_status_2() {
    run_alone(&["1", "--env-file", "no-such-file"], &[])
        .assert_status(2)
        .assert_says("error: cannot read no-such-file: no such file\n");
}

#[test]
fn a_silent_server_costs_no_more_than_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let began = Instant::now();
    run_alone(&["1", "--timeout", "500ms"], &[("LOCAL_DB_PORT", &port)])
        .assert_status(1)
        .assert_says("no answer within 500ms")
        .assert_says("node 1 (localhost:");
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}

#[test]
fn a_server_that_draws_a_login_out_costs_no_more_than_the_timeout() {
    let mut server = TcpStream::connect(("127.0.0.1", servers(Kind::MySql)[0].port)).unwrap();
    let mut head = [0; 4];
    server.read_exact(&mut head).unwrap();
    let mut greeting = vec![0; usize::from(head[0])];
    server.read_exact(&mut greeting).unwrap();
    let greeting = [&head[..], &greeting].concat();
    // It stops in the middle of TLS, or never comes to it.
    for pause in [Duration::ZERO, Duration::from_millis(200)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let greeting = greeting.clone();
        thread::spawn(move || {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept() {
                for byte in &greeting {
                    let _ = stream.write_all(&[*byte]);
                    thread::sleep(pause);
                }
                open.push(stream);
            }
        });
        let began = Instant::now();
        run_alone(&["1", "--timeout", "1s"], &[("LOCAL_DB_PORT", &port)])
            .assert_status(1)
            .assert_says("no answer within 1s");
        assert!(began.elapsed().as_millis() < 2000, "{:?}", began.elapsed());
    }
}

#[test]
fn what_does_not_speak_the_protocol_is_said_to_be_no_mysql() {
    let garbage: [&[u8]; 5] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        b"\x00\x00\x00\x00",
        b"\x05\x00\x00\x00\x0a\x00\x00\x00\x00",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for greeting in garbage {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(greeting);
            }
        });
        let args = ["1", "--timeout", "2s", "--json"];
        let finished = run_alone(&args, &[("LOCAL_DB_PORT", &port)]);
        finished
            .assert_status(1)
            .assert_kinds(&["unreachable"])
            .assert_says("error: node 1 (localhost:")
            .assert_says(": check LOCAL_DB_HOST and LOCAL_DB_PORT\n");
        // Which of both, depends on whether it still reads when it goes.
        let said = ["does not speak MySQL's protocol", "the connection was cut"];
        assert!(
            said.iter().any(|text| finished.err.contains(text)),
            "{greeting:?}: {}",
            finished.err
        );
        assert!(
            !finished.err.contains("panicked"),
            "{greeting:?}: {}",
            finished.err
        );
        assert!(
            !finished.err.contains("os error"),
            "{greeting:?}: {}",
            finished.err
        );
    }
}

/// Nodes 2 and 3 stand for the innocent ones: none of them may be touched when node 1 cannot be
/// failed.
fn refused(nodes: &Nodes, kinds: &[&str], says: &[&str]) {
    let before = nodes.states();
    let mut open = [nodes.log_in(2).unwrap(), nodes.log_in(3).unwrap()];
    let finished = nodes.run(&["1", "2", "3", "--json"], "Y\n");
    finished.assert_status(1).assert_says("nothing was changed");
    finished.assert_kinds(kinds);
    for text in says {
        finished.assert_says(text);
    }
    for session in &mut open {
        session.write().unwrap();
    }
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_wrong_admin_password_is_named_and_not_shown(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let name = format!("TESTER_{}_DB_PASSWORD_NODE1", nodes.prefix());
        nodes.set(&name, "s3cret");
        refused(
            &nodes,
            &["login_refused"],
            &[
                "node 1 (127.0.0.1:",
                "login refused for",
                &format!("and {name}\n"),
            ],
        );
        let finished = nodes.run(&["1"], "");
        assert!(!finished.err.contains("s3cret"), "{}", finished.err);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn every_node_that_is_down_is_named(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.reach_by(1, free_port());
    refused(
        &nodes,
        &["nothing_listens"],
        &[
            "error: node 1 (127.0.0.1:",
            "nothing listens there",
            "LOCAL_DB_PORT",
        ],
    );
    nodes.reach_by(2, free_port());
    nodes
        .run(&["1", "2", "3", "--json"], "")
        .assert_status(1)
        .assert_kinds(&["nothing_listens"; 2])
        .assert_says("error: node 1 (")
        .assert_says("error: node 2 (");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_silent_node_keeps_the_others_untouched(kind: Kind) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut nodes = Nodes::local(kind);
    nodes.reach_by(1, silent.local_addr().unwrap().port());
    let before = nodes.states();
    let args = ["1", "2", "3", "--timeout", "500ms", "--json"];
    nodes
        .run(&args, "Y\n")
        .assert_status(1)
        .assert_kinds(&["unreachable"])
        .assert_says("error: node 1 (")
        .assert_says("no answer within 500ms");
    assert_eq!(nodes.states(), before);
}

/// MySQL names a plugin to log in by where there is no such account, and not always its own.
#[test]
fn an_admin_that_is_not_there_is_told_by_its_variable_whatever_plugin_mysql_names() {
    let mut nodes = Nodes::local(Kind::MySql);
    for number in 0..12 {
        nodes.set("TESTER_LOCAL_DB_USER", &format!("nobody{number}"));
        nodes
            .run(&["1"], "")
            .assert_status(1)
            .assert_says("check TESTER_LOCAL_DB_USER");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_password_is_to_be_checked_only_where_it_may_be_wrong(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let check = "check LOCAL_DB_PASSWORD";
    nodes.set("LOCAL_DB_PASSWORD", "wrong");
    let finished = nodes.run(&["1", "--json"], "Y\n");
    finished
        .assert_kinds(&["login_not_tried"])
        .assert_says(check);
    // Without access to the database.
    nodes.set("LOCAL_DB_PASSWORD", "rootpass");
    let (account, database) = (nodes.account(), &nodes.databases[0]);
    let revoke = format!("REVOKE ALL ON `{database}`.* FROM {account}");
    nodes.admin(1).query_drop(revoke).unwrap();
    let finished = nodes.run(&["1", "--json"], "Y\n");
    finished
        .assert_kinds(&["login_not_tried"])
        .assert_says("1044");
    assert!(!finished.err.contains(check), "{}", finished.err);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_account_or_database_that_is_not_there_is_named(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.set("LOCAL_DB_NAME", "no such database");
    refused(
        &nodes,
        &["no_database"],
        &[
            "no database named 'no such database', or none that tester may see (GRANT SHOW DATABASES)",
            "LOCAL_DB_NAME",
        ],
    );
    nodes.set("LOCAL_DB_USER_NODE1", "nobody");
    refused(
        &nodes,
        &["no_account", "no_database"],
        &[
            "no database named",
            "no account named 'nobody'",
            "LOCAL_DB_USER",
        ],
    );
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_admin_itself_is_not_failed(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.set("LOCAL_DB_USER_NODE1", "tester");
    refused(&nodes, &["admin_is_account"], &["are both 'tester'"]);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_admin_who_lacks_a_privilege_is_told_which(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let low = format!("low{}", nodes.user);
    nodes
        .admin(1)
        .query_drop(format!(
            "CREATE USER `{low}` IDENTIFIED BY 'p'; GRANT SELECT ON *.* TO `{low}`"
        ))
        .unwrap();
    nodes.set("TESTER_LOCAL_DB_USER_NODE1", &low);
    nodes.set("TESTER_LOCAL_DB_PASSWORD_NODE1", "p");
    let to_kill = match kind {
        Kind::MySql => "lacks the privilege CONNECTION_ADMIN",
        Kind::MariaDb => "lacks the privilege CONNECTION ADMIN",
    };
    refused(
        &nodes,
        &["lacks_privilege", "lacks_privilege", "cannot_end_sessions"],
        &[
            "lacks the privilege PROCESS",
            to_kill,
            "lacks the privilege CREATE USER",
        ],
    );
    nodes
        .admin(1)
        .query_drop(format!("DROP USER `{low}`"))
        .unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn another_way_in_is_named_in_cloud(kind: Kind) {
    let nodes = Nodes::cloud(kind);
    let mut admin = nodes.admin(1);
    let (account, role) = (nodes.account(), format!("r{}", nodes.user));
    let database = &nodes.databases[0];
    let wide = format!("{}%", &database[..database.len() - 3]);
    let mut check = |grant: &str, revoke: &str, says: &str| {
        admin
            .query_drop(grant)
            .unwrap_or_else(|error| panic!("{grant}: {error}"));
        // Who has no name gets in whichever way the account is kept out.
        refused(
            &nodes,
            &["other_way_in"],
            &[
                says,
                if grant.contains("''@") {
                    "revoke that"
                } else {
                    "--method lock"
                },
            ],
        );
        admin.query_drop(revoke).unwrap();
    };
    check(
        &format!("GRANT SELECT ON *.* TO {account}"),
        &format!("REVOKE SELECT ON *.* FROM {account}"),
        "SELECT ON *.*",
    );
    let replays = match kind {
        Kind::MySql => "BINLOG_ADMIN",
        Kind::MariaDb => "BINLOG REPLAY",
    };
    for replays in [replays, "SUPER"] {
        check(
            &format!("GRANT {replays} ON *.* TO {account}"),
            &format!("REVOKE {replays} ON *.* FROM {account}"),
            &format!("{replays} ON *.*"),
        );
    }
    check(
        &format!("CREATE ROLE {role}; GRANT {role} TO {account}"),
        &format!("DROP ROLE {role}"),
        &format!("also `{role}`"),
    );
    check(
        &format!("GRANT INSERT ON `{wide}`.* TO {account}"),
        &format!("REVOKE INSERT ON `{wide}`.* FROM {account}"),
        &format!("INSERT ON `{wide}`"),
    );
    // Accounts without a name stand for everybody.
    check(
        &format!("CREATE USER ''@'10.9.8.7'; GRANT INSERT ON `{wide}`.* TO ''@'10.9.8.7'"),
        "DROP USER ''@'10.9.8.7'",
        &format!("ON `{wide}`"),
    );
    if kind == Kind::MariaDb {
        check(
            &format!("GRANT INSERT ON `{database}`.* TO PUBLIC"),
            &format!("REVOKE INSERT ON `{database}`.* FROM PUBLIC"),
            "TO PUBLIC",
        );
    }
    // One that nobody gets in by, but what it holds is everybody's.
    admin
        .query_drop(format!(
            "CREATE USER ''@'10.9.8.7' ACCOUNT LOCK; GRANT INSERT ON `{wide}`.* TO ''@'10.9.8.7'"
        ))
        .unwrap();
    nodes
        .run(&["1", "--method", "lock"], "Y\n")
        .assert_status(0);
    admin.query_drop("DROP USER ''@'10.9.8.7'").unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_admin_with_exactly_the_documented_privileges_suffices(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let name = format!("min{}", nodes.user);
    let (kill, log) = match kind {
        Kind::MySql => ("CONNECTION_ADMIN", "SESSION_VARIABLES_ADMIN"),
        Kind::MariaDb => ("CONNECTION ADMIN", "BINLOG ADMIN, READ_ONLY ADMIN"),
    };
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!(
            "CREATE USER `{name}` IDENTIFIED BY 'p'; GRANT SELECT ON mysql.* TO `{name}`; \
             GRANT PROCESS, SHOW DATABASES, CREATE USER ON *.* TO `{name}`; GRANT {kill}, {log} ON *.* TO `{name}`"
        ))
        .unwrap();
    nodes.set("TESTER_LOCAL_DB_USER", &name);
    nodes.set("TESTER_LOCAL_DB_PASSWORD", "p");
    let before = nodes.states();
    nodes
        .run(&["1", "--json"], "Y\n")
        .assert_status(0)
        .assert_kinds(&["no_undo"]);
    let database = &nodes.databases[0];
    admin
        .query_drop(format!("GRANT EVENT ON `{database}`.* TO `{name}`"))
        .unwrap();
    let mut session = nodes.log_in(1).unwrap();
    let mut program = nodes.fail(&["1"]);
    assert!(session.write().is_err());
    nodes.assert_offline(1);
    program.answer("Y\n");
    assert_eq!(program.end().assert_status(0).err, "");
    assert_eq!(nodes.states(), before);

    nodes
        .run(&["1", "--method", "revoke", "--json"], "Y\n")
        .assert_status(1)
        .assert_kinds(&["lacks_privilege"])
        .assert_says("WITH GRANT OPTION");
    admin
        .query_drop(format!(
            "GRANT ALL ON `{database}`.* TO `{name}` WITH GRANT OPTION"
        ))
        .unwrap();
    if kind == Kind::MySql {
        nodes
            .run(&["1", "--method", "revoke", "--json"], "Y\n")
            .assert_kinds(&["ends_other_sessions"])
            .assert_says("may not read performance_schema.metadata_locks");
        admin
            .query_drop(format!("GRANT SELECT ON performance_schema.* TO `{name}`"))
            .unwrap();
    }
    // Only to lock does it need this one.
    admin
        .query_drop(format!("REVOKE CREATE USER ON *.* FROM `{name}`"))
        .unwrap();
    assert_eq!(
        nodes
            .run(&["1", "--method", "revoke"], "Y\n")
            .assert_status(0)
            .err,
        ""
    );
    assert_eq!(nodes.states(), before);
    // And this one only to end sessions.
    admin
        .query_drop(format!("REVOKE {kill} ON *.* FROM `{name}`"))
        .unwrap();
    nodes
        .run(&["1", "--method", "revoke", "--json"], "Y\n")
        .assert_status(1)
        .assert_kinds(&["cannot_end_sessions"])
        .assert_says(kill);
    assert_eq!(
        nodes
            .run(&["1", "--method", "revoke", "--keep-sessions"], "Y\n")
            .assert_status(0)
            .err,
        ""
    );
    assert_eq!(nodes.states(), before);
    admin.query_drop(format!("DROP USER `{name}`")).unwrap();
}

#[test]
fn the_environment_wins_by_either_name_of_node_1() {
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.set("LOCAL_DB_PORT_NODE1", "2");
    let mut command = nodes.command(&["status", "1"]);
    command.env("LOCAL_DB_PORT", "1");
    let finished = Program::start(&mut command).finish();
    assert!(finished.out.contains(":1)"), "{}", finished.out);
}
