//! What else ends an outage: signals, the end of input. Whatever it is, the nodes come back.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
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
    program.end().assert_status(0);
    nodes.assert_online(1);
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
    let program = nodes.command(&[]).get_program().to_owned();
    // As a node or ssh leaves a pipe that it shared.
    let script = "import os, sys; os.set_blocking(0, False); os.execv(sys.argv[1], sys.argv[1:])";
    let start = || {
        let mut python = Command::new("/usr/bin/python3");
        python
            .args(["-c", script])
            .arg(&program)
            .arg("1")
            .current_dir(nodes.folder.path());
        let program = Program::start(&mut python);
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
                .assert_says("hint: ");
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
