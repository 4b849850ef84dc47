//! An outage that lasts as long as a command.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Instant;

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::documents::code_block;
use crate::harness::{
    Kind, Nodes, Program, Server, drop_admin, file, free_port, held_connection, in_a_terminal,
    is_alive, kill, login, offline, online, own_admin, run_by_hand, wait_until, without_terminal,
};

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_nodes_are_offline_while_the_command_runs(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        // Its input and output are its own.
        let mut program = nodes.start(&[
            "2",
            "3",
            "--",
            "sh",
            "-c",
            "echo started; read line; echo \"$line $FAIL_START_NODES\"; exit 7",
        ]);
        program.wait_for("started");
        nodes.assert_offline(2);
        nodes.assert_offline(3);
        nodes.assert_online(1);
        program.answer("hello\n");
        let finished = program.end();
        finished.assert_status(7);
        assert_eq!(finished.out, "started\nhello 2,3\n");
        for number in [2, 3] {
            finished
                .assert_says(&offline(number))
                .assert_says(&online(number));
        }
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn however_the_command_ends_the_nodes_come_back(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    let odd = file(&nodes, "odd", "#!/no/such/interpreter\n", 0o755);
    let empty = file(&nodes, "empty", "\n", 0o755);
    for (command, status, says) in [
        (&["true"][..], 0, ""),
        (&["false"], 1, ""),
        (&["sh", "-c", "kill -9 $$"], 137, ""),
        (&["sh", "-c", "kill -15 $$"], 143, ""),
        (&["sh", "-c", "exec <&- >&- 2>&-; exit 4"], 4, ""),
        (&[&odd], 127, "odd: its interpreter was not found"),
        (&[&empty], 126, "empty: it is no program"),
    ] {
        let finished = nodes.run(&[&["1", "--"], command].concat(), "");
        finished
            .assert_status(status)
            .assert_says(&online(1))
            .assert_says(says);
        assert_eq!(finished.out, "");
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_command_that_cannot_be_executed_touches_nothing(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    // Nothing is even connected to.
    nodes.reach_by(1, free_port());
    let plain = file(&nodes, "plain", "no program", 0o644);
    let here = nodes.folder.path().to_str().unwrap().to_owned();
    for (command, status, says) in [
        (
            "no-such-program-here",
            127,
            "error: no-such-program-here: command not found\n",
        ),
        (
            "./no/such/program",
            127,
            "error: ./no/such/program: command not found\n",
        ),
        ("", 127, "error: : command not found\n"),
        ("plain", 127, "error: plain: command not found\n"),
        (&plain, 126, "/plain: permission denied\n"),
        (&here, 126, ": permission denied\n"),
    ] {
        for args in [
            &["1", "--", command][..],
            &["1", "--dry-run", "--", command],
        ] {
            let finished = nodes.run(args, "");
            finished.assert_status(status);
            assert!(finished.err.ends_with(says), "{args:?}: {}", finished.err);
            assert_eq!(finished.err.lines().count(), 1, "{}", finished.err);
            assert_eq!(finished.out, "");
        }
    }
    // The search goes on behind what may not be executed, and ends with that if there is nothing
    // else.
    for (path, status) in [
        (format!("{here}:/bin"), 125),
        (format!("/nowhere::{here}"), 126),
    ] {
        file(&nodes, "true", "no program", 0o644);
        let mut command = nodes.command(&["1", "--", "true"]);
        Program::start(command.env("PATH", path))
            .finish()
            .assert_status(status);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn where_the_nodes_cannot_be_taken_offline_the_command_does_not_run(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.reach_by(2, free_port());
    let finished = nodes.run(&["1", "2", "--", "echo", "it ran"], "");
    finished.assert_status(125).assert_says("error: node 2 (");
    assert_eq!(finished.out, "");
    nodes
        .run(&["1", "--"], "")
        .assert_status(2)
        .assert_says("COMMAND");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_signal_is_passed_on_and_the_nodes_come_back_when_the_command_has_ended(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        for signal in ["TERM", "HUP"] {
            let script = format!(
                "trap 'echo it ends; exit 9' {signal}; echo started; while :; do sleep 0.05; done"
            );
            let mut program = nodes.start(&["1", "--", "sh", "-c", &script]);
            program.wait_for("started");
            nodes.assert_offline(1);
            program.signal(signal);
            let finished = program.end();
            finished.assert_status(9).assert_says(&online(1));
            assert_eq!(finished.out, "started\nit ends\n");
            assert_eq!(nodes.states(), before);
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_ignores_the_signal_is_killed_after_10_seconds(kind: Kind) {
    let nodes = Nodes::local(kind);
    let ignores = nodes.start(&[
        "1",
        "--",
        "sh",
        "-c",
        "trap '' TERM; echo started; exec sleep 50",
    ]);
    let script = "(trap '' TERM; exec sleep 50 >/dev/null 2>&1) & echo \"is $!;\"; echo \"is $$;\"; exec sleep 51";
    let child_ignores = nodes.start(&["2", "--", "sh", "-c", script]);
    ignores.wait_for("started");
    let ids = ids(&child_ignores, 2);
    let signalled = Instant::now();
    ignores.signal("TERM");
    child_ignores.signal("TERM");
    // The command ends at once, but what it has started would still write.
    wait_until("the command's end", || (!is_alive(&ids[1])).then_some(()));
    nodes.assert_offline(2);
    for (mut program, number, status) in [(ignores, 1, 137), (child_ignores, 2, 143)] {
        let finished = program.end();
        let took = signalled.elapsed();
        finished
            .assert_status(status)
            .assert_says("ending it by force")
            .assert_says(&online(number));
        assert!((10..30).contains(&took.as_secs()), "{took:?}");
        nodes.assert_online(number);
    }
    assert!(!is_alive(&ids[0]));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_signal_reaches_everything_that_the_command_started(kind: Kind) {
    let nodes = Nodes::local(kind);
    let sleep = "sleep 1000 >/dev/null 2>&1 & echo \"is $!;\"";
    // A child that is stopped, the child of a shell that has ended, the same in a group of its own,
    // another child.
    let script = format!(
        "{sleep}; stopped=$!; sh -c '{sleep}'; bash -c 'set -m; {sleep}'; {sleep}; \
         setsid {sleep}; kill -STOP $stopped; echo started; exec sleep 1001"
    );
    for signal in ["TERM", "HUP"] {
        let mut program = nodes.start(&["1", "--", "sh", "-c", &script]);
        program.wait_for("started");
        let ids = ids(&program, 5);
        let (daemon, others) = ids.split_last().unwrap();
        for id in &ids {
            assert!(is_alive(id));
        }
        wait_until("it is a daemon", || {
            let stat = std::fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap();
            let session = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3);
            (session == Some(daemon)).then_some(())
        });
        program.signal(signal);
        let status = if signal == "TERM" { 143 } else { 129 };
        let finished = program.end();
        let left: Vec<bool> = others.iter().map(|id| is_alive(id)).collect();
        // One that has made itself independent is none of the command's.
        let daemon_is_alive = is_alive(daemon);
        for id in &ids {
            kill(id);
        }
        finished.assert_status(status).assert_says(&online(1));
        assert!(!finished.err.contains("by force"), "{}", finished.err);
        assert_eq!(left, [false; 4], "{signal}");
        assert!(daemon_is_alive, "{signal}");
        nodes.assert_online(1);
    }
}

/// A shell's job control or a test runner may ignore it, so as to be left without zombies.
#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_end_of_a_command_is_seen_though_sigchld_is_ignored(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes.command(&[]).get_program().to_owned();
    for (args, status) in [
        (&["1", "--", "sh", "-c", "true; exit 7"][..], 7),
        (&["1", "--for", "1s", "--", "true"], 0),
        (&["drill", "1", "--", "true"], 0),
    ] {
        let mut env = Command::new("env");
        let env = env.arg("--ignore-signal=CHLD").arg(&program).args(args);
        let finished = Program::start(env.current_dir(nodes.folder.path())).end();
        finished.assert_status(status);
        assert_eq!(finished.err.matches("warning").count(), 0, "{finished:?}");
        nodes.assert_online(1);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn ctrl_c_reaches_a_command_that_has_a_group_of_its_own(kind: Kind) {
    let nodes = Nodes::local(kind);
    for (command, status) in [
        ("1 -- timeout 1000 sh script.sh", None),
        ("1 -- setsid -w sh script.sh", Some(130)),
        ("drill 1 -- setsid -w sh script.sh", Some(130)),
    ] {
        nodes
            .folder
            .write("script.sh", "echo started; exec sleep 1000");
        let mut program = in_a_terminal(&nodes, "", command);
        program.wait_for("started");
        program.answer("\u{3}");
        let finished = program.end();
        if let Some(status) = status {
            finished.assert_status(status);
        }
        assert!(
            !finished.out.contains("ending the command"),
            "{}",
            finished.out
        );
        nodes.assert_online(1);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_signal_does_not_reach_what_was_there_before(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes
        .command(&[])
        .get_program()
        .to_str()
        .unwrap()
        .to_owned();
    let script = format!(
        "sleep 1000 >/dev/null 2>&1 & echo \"is $!;\"; exec '{program}' 1 -- sh -c 'echo started; exec sleep 1001'"
    );
    let mut shell = Command::new("sh");
    let mut program = Program::start(shell.args(["-c", &script]).current_dir(nodes.folder.path()));
    program.wait_for("started");
    let id = ids(&program, 1).remove(0);
    program.signal("TERM");
    let finished = program.end();
    let is_alive = is_alive(&id);
    kill(&id);
    finished.assert_status(143).assert_says(&online(1));
    assert!(is_alive);
    assert!(!finished.err.contains("by force"), "{}", finished.err);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_a_command_leaves_behind_when_it_ends_by_itself_is_left_alone(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut program = nodes.start(&[
        "1",
        "--",
        "sh",
        "-c",
        "sleep 1000 >/dev/null 2>&1 & echo \"is $!;\"; exit 3",
    ]);
    let id = ids(&program, 1).remove(0);
    let finished = program.end();
    let is_alive = is_alive(&id);
    kill(&id);
    finished.assert_status(3).assert_says(&online(1));
    assert!(is_alive);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_interrupt_that_no_terminal_has_sent_is_passed_on_and_so_is_what_follows(kind: Kind) {
    let nodes = Nodes::local(kind);
    let script = "trap 'echo it goes on' INT QUIT; trap 'echo it ends; exit 9' TERM; echo started; while :; do sleep 0.05; done";
    for signal in ["INT", "QUIT"] {
        let mut program = without_terminal(&nodes, &["1", "--", "sh", "-c", script]);
        program.wait_for("started");
        program.signal(signal);
        program.wait_for("it goes on");
        nodes.assert_offline(1);
        // At once after the other one.
        program.signal("TERM");
        let finished = program.end();
        finished.assert_status(9).assert_says(&online(1));
        assert_eq!(finished.out, "started\nit goes on\nit ends\n");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn with_a_deadline_the_nodes_come_back_while_the_command_goes_on(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut program = nodes.start(&[
        "1",
        "--for",
        "500ms",
        "--",
        "sh",
        "-c",
        "echo started; read line; exit 5",
    ]);
    program.wait_for("started");
    program.wait_for(&online(1));
    nodes.assert_online(1);
    assert!(program.is_running());
    program.answer("\n");
    let finished = program.end();
    finished.assert_status(5);
    // What it does from now on is no test of an outage.
    let warning = finished
        .err
        .find("warning: the command still runs at the deadline");
    assert!(warning.is_some_and(|at| at < finished.err.find(&online(1)).unwrap()));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_node_that_cannot_be_brought_back_outranks_the_commands_status(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let name = own_admin(&mut nodes);
    let mut program = nodes.start(&["1", "--", "sh", "-c", "echo started; read line; exit 5"]);
    program.wait_for("started");
    let id = held_connection(&nodes, 1, &name);
    nodes
        .admin(1)
        .query_drop(format!(
            "ALTER USER `{name}` IDENTIFIED BY 'another'; KILL {id}"
        ))
        .unwrap();
    program.answer("\n");
    let finished = program.end();
    finished.assert_status(3).assert_says("): not back: ");
    run_by_hand(&nodes, 1, &finished);
    nodes.assert_online(1);
    drop_admin(&nodes, &name);
}

/// The processes that the command has told of, in the order in which it did.
fn ids(program: &Program, count: usize) -> Vec<String> {
    let printed = program.wait_for_nth(";\n", count);
    let ids = printed.split("is ").skip(1);
    ids.map(|rest| rest[..rest.find(';').unwrap()].to_owned())
        .collect()
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_readmes_tests_run_as_they_stand_there(kind: Kind) {
    let servers = [Server::start(kind, &[]), Server::start(kind, &[])];
    let databases = ["node1_db", "node2_db", "node3_db"].map(|name| format!("readme_{name}"));
    let mut nodes = Nodes::named(kind, "readme_user", databases);
    // The README's names, on servers of their own.
    for (number, server) in (1..).zip(&servers) {
        let mut admin = login(server.port, "tester", "testpass", None).unwrap();
        admin
            .query_drop(format!(
                "CREATE DATABASE node{number}_db; CREATE USER user IDENTIFIED BY 'rootpass'; \
                 GRANT ALL PRIVILEGES ON node{number}_db.* TO user"
            ))
            .unwrap();
        nodes.reach_by(number, server.port);
    }
    for name in ["LOCAL_DB_USER", "LOCAL_DB_NAME", "LOCAL_DB_NAME_NODE2"] {
        nodes.variables.remove(name);
    }
    // As a user has it: in the search path, and the settings in .env and the environment.
    let program = nodes.command(&[]).get_program().to_owned();
    let bin = std::path::Path::new(&program)
        .parent()
        .unwrap()
        .display()
        .to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    nodes.folder.write(
        "failover.sh",
        code_block("bash", "#!/usr/bin/env bash\n# failover.sh"),
    );
    nodes.folder.write(
        "test_failover.py",
        code_block("python", "# test_failover.py"),
    );
    // What PyMySQL does not bring along; and first, as a server that knows the account is content
    // with less.
    nodes.folder.write("cryptography.py", "raise ImportError\n");
    for test in [
        &["/usr/bin/python3", "-m", "pytest", "-q", "test_failover.py"][..],
        &["bash", "failover.sh"],
    ] {
        let mut command = Command::new(test[0]);
        command
            .args(&test[1..])
            .current_dir(nodes.folder.path())
            .env("PATH", &path);
        for name in ["LOCAL_DB_PORT", "LOCAL_DB_PORT_NODE2"] {
            command.env(name, &nodes.variables[name]);
        }
        let finished = Program::start(&mut command).finish();
        finished.assert_status(0);
        assert!(!finished.out.contains("skipped"), "{}", finished.out);
    }
    // Nor is it true whatever happens: without the outage both fail.
    nodes
        .folder
        .write("fail-start", "#!/bin/sh\nshift 2\nexec \"$@\"\n");
    let fake = nodes.folder.path().join("fail-start");
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("bash");
    command.arg("failover.sh").current_dir(nodes.folder.path());
    command.env("PATH", format!("{}:{path}", nodes.folder.path().display()));
    for name in ["LOCAL_DB_PORT", "LOCAL_DB_PORT_NODE2"] {
        command.env(name, &nodes.variables[name]);
    }
    assert_ne!(Program::start(&mut command).finish().status, 0);
}
