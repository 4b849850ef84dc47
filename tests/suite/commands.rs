//! An outage that lasts as long as a command.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use mysql::prelude::Queryable;

use crate::harness::{Kind, Nodes, free_port, offline, on_both_servers, online};

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
        let name = format!("gone{}", nodes.user);
        let mut admin = nodes.admin(1);
        admin.query_drop(format!("CREATE USER `{name}` IDENTIFIED BY 'p'; GRANT ALL ON *.* TO `{name}` WITH GRANT OPTION")).unwrap();
        nodes.set("TESTER_LOCAL_DB_USER", &name);
        nodes.set("TESTER_LOCAL_DB_PASSWORD", "p");
        let mut program = nodes.start(&["1", "--", "sh", "-c", "echo started; read line; exit 5"]);
        program.wait_for("started");
        let kill = "SELECT ID FROM information_schema.processlist WHERE USER = ?";
        let id: u64 = admin.exec_first(kill, (&name,)).unwrap().unwrap();
        admin.query_drop(format!("ALTER USER `{name}` IDENTIFIED BY 'another'; KILL {id}")).unwrap();
        program.answer("\n");
        let finished = program.end();
        finished.assert_status(3).assert_says("could not be brought back");
        crate::returns::run_by_hand(&nodes, 1, &finished);
        nodes.assert_online(1);
        admin.query_drop(format!("DROP USER `{name}`")).unwrap();
    }
}
