//! What else ends an outage: signals, the end of input. Whatever it is, the nodes come back.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{Kind, Nodes, PROMPT, Program, offline, online, wait_until};
use crate::proxy::Proxy;

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn each_signal_brings_the_nodes_back(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        for signal in ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "XCPU"] {
            let mut program = nodes.fail(&["1", "3"]);
            nodes.assert_offline(1);
            program.signal(signal);
            // Its standard input is still open: the read must not swallow the interrupt.
            program
                .end()
                .assert_status(130)
                .assert_line(&online(1))
                .assert_line(&online(3));
            assert_eq!(nodes.states(), before, "{signal}");
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_file_that_may_grow_no_further_ends_nothing(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes.command(&[]).get_program().to_owned();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -f 0; exec \"$0\" 1 >out"])
        .arg(program)
        .current_dir(nodes.folder.path());
    let mut program = Program::start(&mut shell);
    wait_until("it is offline", || nodes.log_in(1).err());
    program.answer("Y\n");
    let warned = "warning: cannot write standard output: file too large";
    program.end().assert_status(0).assert_says(warned);
    nodes.assert_online(1);
}

/// The program on node 1, with this standard stream as a node or ssh leaves a pipe that it shared.
fn non_blocking(stream: u8, nodes: &Nodes) -> Command {
    let script = format!(
        "import os, sys; os.set_blocking({stream}, False); os.execv(sys.argv[1], sys.argv[1:])"
    );
    let mut python = Command::new("/usr/bin/python3");
    python
        .args(["-c", &script])
        .arg(nodes.command(&[]).get_program())
        .arg("1")
        .current_dir(nodes.folder.path());
    python
}

#[cfg(target_os = "linux")]
#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn output_that_is_taken_late_is_whole(kind: Kind) {
    let nodes = Nodes::local(kind);
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // No room for a line more.
    writer.write_all(&vec![b'.'; 64 * 1024]).unwrap();
    let mut child = non_blocking(1, &nodes)
        .stdin(Stdio::piped())
        .stdout(writer)
        .spawn()
        .unwrap();
    wait_until("it is offline", || nodes.log_in(1).err());
    child.stdin.take().unwrap().write_all(b"Y\n").unwrap();
    wait_until("it is online", || nodes.log_in(1).ok());
    let mut printed = String::new();
    reader.read_to_string(&mut printed).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(printed.contains(&offline(1)) && printed.contains(&online(1)));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn under_nohup_the_end_of_the_terminal_ends_nothing(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes.command(&[]).get_program().to_owned();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$0\" 1"])
        .arg(program)
        .current_dir(nodes.folder.path());
    let mut program = Program::start(&mut shell);
    program.wait_for(PROMPT);
    program.signal("HUP");
    program.answer("N\n");
    program.wait_for_nth(PROMPT, 2);
    nodes.assert_offline(1);
    program.signal("TERM");
    program.end().assert_status(130).assert_line(&online(1));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_ignored_ctrl_c_stays_ignored(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes.command(&[]).get_program().to_owned();
    let mut shell = Command::new("sh");
    // As a shell without job control starts `fail-start 1 &`.
    shell
        .args(["-c", "trap '' INT QUIT; exec \"$0\" 1"])
        .arg(program)
        .current_dir(nodes.folder.path());
    let mut program = Program::start(&mut shell);
    program.wait_for(PROMPT);
    program.signal("INT");
    program.signal("QUIT");
    program.answer("N\n");
    program.wait_for_nth(PROMPT, 2);
    nodes.assert_offline(1);
    program.signal("TERM");
    program.end().assert_status(130).assert_line(&online(1));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn signals_that_come_at_once_are_one_interrupt(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let proxy = Proxy::to(nodes.port(1));
    // So far away that the second one comes before the end.
    nodes.reach_by(1, proxy.port);
    for signals in [["HUP", "HUP"], ["TERM", "HUP"], ["INT", "TERM"]] {
        let mut program = nodes.fail(&["1"]);
        proxy.set_delay(Duration::from_millis(20));
        for signal in signals {
            program.signal(signal);
        }
        program.end().assert_status(130).assert_line(&online(1));
        proxy.set_delay(Duration::ZERO);
        nodes.assert_online(1);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn input_that_is_not_there_yet_is_not_its_end(kind: Kind) {
    let nodes = Nodes::local(kind);
    let start = || {
        let program = Program::start(&mut non_blocking(0, &nodes));
        program.wait_for(PROMPT);
        program
    };
    let mut program = start();
    // A line that comes in pieces is one answer.
    program.answer("y");
    program.signal("CONT");
    nodes.assert_offline(1);
    program.answer("e");
    nodes.assert_offline(1);
    program.answer("s\n");
    program.end().assert_status(0).assert_line(&online(1));
    start()
        .finish()
        .assert_status(1)
        .assert_says("nobody can answer")
        .assert_line(&online(1));
    let mut program = start();
    program.signal("TERM");
    program.end().assert_status(130).assert_line(&online(1));
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_reader_that_takes_one_line_ends_no_outage(kind: Kind) {
    let nodes = Nodes::local(kind);
    for (args, status) in [
        (&["1"][..], 0),
        (&["1", "--json"], 0),
        (&["1", "--", "cat"], 141),
    ] {
        let mut child = nodes
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until("offline", || nodes.log_in(1).err());
        // As `| head -1` does.
        drop(child.stdout.take());
        drop(child.stderr.take());
        let mut input = child.stdin.take().unwrap();
        nodes.assert_offline(1);
        input.write_all(b"n\n").unwrap();
        let _ = input.write_all(b"Y\n");
        assert_eq!(child.wait().unwrap().code(), Some(status));
        nodes.assert_online(1);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_end_of_input_brings_the_nodes_back(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        for input in ["", "N\n", "rubbish\n"] {
            let finished = nodes.run(&["2", "3", "--json"], input);
            finished
                .assert_status(1)
                .assert_kinds(&["end_of_input"])
                .assert_says(&offline(2))
                .assert_says(&online(2))
                .assert_says(&online(3))
                .assert_says("hint: run it in a terminal, or say");
            assert_eq!(nodes.states(), before);
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn closed_standard_streams_do_not_keep_a_node_offline(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    let mut session = nodes.log_in(1).unwrap();
    // Standard output is a pipe that nobody reads any more, as after `| head -1`.
    let mut child = nodes
        .command(&["1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(session.write().is_err(), "it was never offline");
    assert_eq!(nodes.states(), before);
    nodes.assert_online(1);
}

/// As in a terminal that Ctrl-S has stopped, or before a program that does not read.
#[cfg(target_os = "linux")]
#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn output_that_nobody_takes_keeps_no_node_offline(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    for ending in ["INT", "TERM", "Y"] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut child = nodes
            .command(&["1"])
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut printed = Vec::new();
        while !String::from_utf8_lossy(&printed).contains(PROMPT) {
            let mut some = [0; 4096];
            let read = reader.read(&mut some).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&printed));
            printed.extend(&some[..read]);
        }
        // More than it holds: the rest waits.
        let fills = thread::spawn(move || {
            let mut writer = writer;
            writer.write_all(&vec![b'.'; (64 + 4) * 1024])
        });
        thread::sleep(Duration::from_millis(200));
        let mut admin = nodes.admin(1);
        let account = nodes.account();
        // Somebody opens the node and shuts it again, of which a warning tells: nobody reads it, so only
        // time says that the watch has looked.
        admin
            .query_drop(format!("ALTER USER {account} ACCOUNT UNLOCK"))
            .unwrap();
        thread::sleep(Duration::from_millis(1500));
        admin
            .query_drop(format!("ALTER USER {account} ACCOUNT LOCK"))
            .unwrap();
        thread::sleep(Duration::from_millis(1500));
        if ending == "Y" {
            child.stdin.as_mut().unwrap().write_all(b"Y\n").unwrap();
        } else {
            let kill = format!("kill -s {ending} {}", child.id());
            assert!(
                Command::new("sh")
                    .args(["-c", &kill])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        wait_until(&format!("back after {ending}"), || nodes.log_in(1).ok());
        // Who is not to end waits until all is told.
        let reads = thread::spawn(move || {
            let mut rest = String::new();
            reader.read_to_string(&mut rest).map(|_| rest)
        });
        let status = child.wait().unwrap().code();
        fills.join().unwrap().unwrap();
        let rest = reads.join().unwrap().unwrap();
        assert_eq!(status, Some(if ending == "Y" { 0 } else { 130 }));
        assert!(rest.contains(&online(1)), "{ending}: {rest}");
        assert_eq!(nodes.states(), before);
    }
}
