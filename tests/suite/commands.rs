//! An outage that lasts as long as a command.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Instant;

use mysql::prelude::Queryable;

use crate::harness::{
    Kind, Nodes, Program, Server, free_port, login, offline, on_both_servers, online,
};

use crate::returns::{drop_admin, held_connection, own_admin, run_by_hand};

on_both_servers! {
    fn the_nodes_are_offline_while_the_command_runs(kind) {
        for nodes in Nodes::in_both_environments(kind) {
            let before = nodes.states();
            // Its input and output are its own.
            let mut program = nodes.start(&["2", "3", "--", "sh", "-c", "echo started; read line; echo \"$line $FAIL_START_NODES\"; exit 7"]);
            program.wait_for("started");
            nodes.assert_offline(2);
            nodes.assert_offline(3);
            nodes.assert_online(1);
            program.answer("hello\n");
            let finished = program.end();
            finished.assert_status(7);
            assert_eq!(finished.out, "started\nhello 2,3\n");
            for number in [2, 3] {
                finished.assert_says(&offline(number)).assert_says(&online(number));
            }
            assert_eq!(nodes.states(), before);
        }
    }

    fn however_the_command_ends_the_nodes_come_back(kind) {
        let nodes = Nodes::local(kind);
        let before = nodes.states();
        let plain = nodes.folder.write("plain", "no program");
        let plain = plain.to_str().unwrap();
        std::fs::set_permissions(plain, std::fs::Permissions::from_mode(0o644)).unwrap();
        for (command, status) in [
            (&["true"][..], 0),
            (&["false"], 1),
            (&["sh", "-c", "kill -9 $$"], 137),
            (&["sh", "-c", "kill -15 $$"], 143),
            (&["no-such-program-here"], 127),
            (&[plain], 126),
        ] {
            let finished = nodes.run(&[&["1", "--"], command].concat(), "");
            finished.assert_status(status).assert_says(&online(1));
            assert_eq!(finished.out, "");
            assert_eq!(nodes.states(), before);
        }
    }

    fn where_the_nodes_cannot_be_taken_offline_the_command_does_not_run(kind) {
        let mut nodes = Nodes::local(kind);
        nodes.reach_by(2, free_port());
        let finished = nodes.run(&["1", "2", "--", "echo", "it ran"], "");
        finished.assert_status(125).assert_says("error: node 2 (");
        assert_eq!(finished.out, "");
        nodes.run(&["1", "--"], "").assert_status(2).assert_says("COMMAND");
    }

    fn a_signal_is_passed_on_and_the_nodes_come_back_when_the_command_has_ended(kind) {
        for nodes in Nodes::in_both_environments(kind) {
            let before = nodes.states();
            for signal in ["TERM", "HUP"] {
                let script = format!("trap 'echo it ends; exit 9' {signal}; echo started; while :; do sleep 0.05; done");
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

    fn a_command_that_ignores_the_signal_is_killed_after_10_seconds(kind) {
        let nodes = Nodes::local(kind);
        let mut program = nodes.start(&["1", "--", "sh", "-c", "trap '' TERM; echo started; exec sleep 50"]);
        program.wait_for("started");
        let signalled = Instant::now();
        program.signal("TERM");
        let finished = program.end();
        let took = signalled.elapsed();
        finished.assert_status(137).assert_says("ending it by force").assert_says(&online(1));
        assert!((10..30).contains(&took.as_secs()), "{took:?}");
        nodes.assert_online(1);
    }

    fn with_a_deadline_the_nodes_come_back_while_the_command_goes_on(kind) {
        let nodes = Nodes::local(kind);
        let mut program = nodes.start(&["1", "--for", "500ms", "--", "sh", "-c", "echo started; read line; exit 5"]);
        program.wait_for("started");
        program.wait_for(&online(1));
        nodes.assert_online(1);
        assert!(program.is_running());
        program.answer("\n");
        program.end().assert_status(5);
    }

    fn a_node_that_cannot_be_brought_back_outranks_the_commands_status(kind) {
        let mut nodes = Nodes::local(kind);
        let name = own_admin(&mut nodes);
        let mut program = nodes.start(&["1", "--", "sh", "-c", "echo started; read line; exit 5"]);
        program.wait_for("started");
        let id = held_connection(&nodes, 1, &name);
        nodes.admin(1).query_drop(format!("ALTER USER `{name}` IDENTIFIED BY 'another'; KILL {id}")).unwrap();
        program.answer("\n");
        let finished = program.end();
        finished.assert_status(3).assert_says("could not be brought back");
        run_by_hand(&nodes, 1, &finished);
        nodes.assert_online(1);
        drop_admin(&nodes, &name);
    }
}

/// The README's code block that begins so.
fn from_the_readme(language: &str, first: &str) -> String {
    let readme = include_str!("../../README.md");
    let fence = format!("```{language}\n{first}");
    let at = readme.find(&fence).unwrap_or_else(|| panic!("no {fence}"));
    let block = &readme[at + language.len() + 4..];
    block[..=block.find("\n```").unwrap()].to_owned()
}

on_both_servers! {
    fn the_readmes_tests_run_as_they_stand_there(kind) {
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
        let bin = std::path::Path::new(&program).parent().unwrap().display().to_string();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
        nodes.folder.write("failover.sh", from_the_readme("bash", "#!/usr/bin/env bash\n# failover.sh"));
        nodes.folder.write("test_failover.py", from_the_readme("python", "# test_failover.py"));
        for test in [&["bash", "failover.sh"][..], &["/usr/bin/python3", "-m", "pytest", "-q", "test_failover.py"]] {
            let mut command = Command::new(test[0]);
            command.args(&test[1..]).current_dir(nodes.folder.path()).env("PATH", &path);
            for name in ["LOCAL_DB_PORT", "LOCAL_DB_PORT_NODE2"] {
                command.env(name, &nodes.variables[name]);
            }
            let finished = Program::start(&mut command).finish();
            finished.assert_status(0);
            assert!(!finished.out.contains("skipped"), "{}", finished.out);
        }
        // Nor is it true whatever happens: without the outage both fail.
        nodes.folder.write("fail-start", "#!/bin/sh\nshift 2\nexec \"$@\"\n");
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
}
