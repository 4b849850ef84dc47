//! A node comes back whatever is in the way; where it cannot, the statements that bring it back are
//! printed.

use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{
    Finished, Kind, Nodes, PROMPT, Program, Server, drop_admin, faults_library, held_connection,
    mariadb_plugins, offline, online, own_admin, quoted, run_by_hand,
};
use crate::proxy::Proxy;

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_connection_that_was_killed_meanwhile_is_opened_again(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let admin = own_admin(&mut nodes);
        let before = nodes.states();
        let mut program = nodes.fail(&["1"]);
        let id = held_connection(&nodes, 1, &admin);
        nodes.admin(1).query_drop(format!("KILL {id}")).unwrap();
        program.answer("Y\n");
        let finished = program.end();
        finished.assert_status(0).assert_line(&online(1));
        assert_eq!(finished.err, "", "nothing that the user must know");
        assert_eq!(nodes.states(), before);
        drop_admin(&nodes, &admin);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_node_that_cannot_come_back_does_not_keep_the_others(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let admin = own_admin(&mut nodes);
        let before = nodes.states();
        let mut program = nodes.fail(&["1", "2", "3", "--json"]);
        let id = held_connection(&nodes, 2, &admin);
        nodes
            .admin(2)
            .query_drop(format!(
                "ALTER USER `{admin}` IDENTIFIED BY 'another'; KILL {id}"
            ))
            .unwrap();
        program.answer("Y\n");
        let finished = program.end();
        finished
            .assert_status(3)
            .assert_says(&online(1))
            .assert_says(&online(3))
            .assert_last_kind("login_refused")
            .assert_says("error: node 2 (127.0.0.1:");
        assert!(!finished.err.contains(&online(2)), "{}", finished.err);
        nodes.assert_offline(2);
        run_by_hand(&nodes, 2, &finished);
        assert_eq!(nodes.states(), before);
        drop_admin(&nodes, &admin);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_node_that_is_away_for_a_while_is_tried_again(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let proxy = Proxy::to(nodes.port(1));
    nodes.reach_by(1, proxy.port);
    let before = nodes.states();
    let mut program = nodes.fail(&["1", "--json"]);
    proxy.set_cut(true);
    program.answer("Y\n");
    program.wait_for_kind("retrying");
    nodes.assert_offline(1);
    proxy.set_cut(false);
    program.end().assert_status(0).assert_says(&online(1));
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_address_that_leads_to_another_server_meanwhile_changes_nothing_there(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let prefix = nodes.prefix();
        let database = quoted(&nodes.databases[0]);
        let account = nodes.account();
        // The other server has the same account, kept out or with less, on purpose.
        let mut other = nodes.admin(2);
        other
            .query_drop(format!(
                "CREATE DATABASE {database}; GRANT SELECT ON {database}.* TO {account}"
            ))
            .unwrap();
        if prefix == "LOCAL" {
            other
                .query_drop(format!("ALTER USER {account} ACCOUNT LOCK"))
                .unwrap();
        }
        let proxy = Proxy::to(nodes.port(1));
        nodes.reach_by(1, proxy.port);
        let before = nodes.states();
        let mut program = nodes.fail(&["1"]);
        proxy.set_cut(true);
        proxy.lead_to(nodes.port(2));
        proxy.set_cut(false);
        if prefix == "LOCAL" {
            program.wait_for("leads to another server now");
            program.answer("Y\n");
            program.wait_for_nth("leads to another server now", 3);
            assert_eq!(nodes.state(2), before[1], "the other server");
            proxy.lead_to(nodes.port(1));
            program.end().assert_status(0).assert_line(&online(1));
        } else {
            program.answer("Y\n");
            let finished = program.end();
            finished
                .assert_status(3)
                .assert_says("leads to another server now");
            assert!(!finished.out.contains("ONLINE"), "{}", finished.out);
            assert_eq!(nodes.state(2), before[1], "the other server");
            nodes.assert_offline(1);
            run_by_hand(&nodes, 1, &finished);
        }
        assert_eq!(nodes.states(), before);
        other
            .query_drop(format!("DROP DATABASE {database}"))
            .unwrap();
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_lock_that_was_held_up_on_the_way_does_not_come_after_the_return(kind: Kind) {
    // Its own, where no outage of another test ends a login that takes this long.
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(2, &server);
    let proxy = Proxy::to(server.port);
    nodes.reach_by(2, proxy.port);
    let before = nodes.states();
    // Node 2 is further away: what takes it offline is still under way when node 1 is, and is held
    // up there.
    proxy.set_delay(Duration::from_millis(200));
    let mut program = nodes.start(&["1", "2", "--timeout", "3s", "--json"]);
    program.wait_for(&offline(1));
    proxy.hold_up();
    proxy.set_delay(Duration::ZERO);
    let finished = program.end();
    finished
        .assert_status(1)
        .assert_kinds(&["unreachable"])
        .assert_says("error: node 2 (")
        .assert_says("as it was");
    assert_eq!(nodes.states(), before);
    proxy.let_arrive();
    proxy.settle();
    assert_eq!(nodes.states(), before, "after the lock has arrived");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_second_interrupt_leaves_at_once_with_the_statements(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let proxy = Proxy::to(nodes.port(1));
        nodes.reach_by(1, proxy.port);
        let before = nodes.states();
        let mut program = nodes.fail(&["1", "2", "--json"]);
        proxy.set_silent(true);
        program.signal("INT");
        program.wait_for("Ctrl-C again leaves at once");
        program.wait_for(&online(2));
        let finished = program.end_by_signals("INT");
        finished.assert_status(3).assert_last_kind("left_early");
        assert!(
            !finished.err.contains("to bring node 2"),
            "node 2 is back: {}",
            finished.err
        );
        nodes.assert_offline(1);
        run_by_hand(&nodes, 1, &finished);
        assert_eq!(nodes.states(), before);
    }
}

/// What is shown of such a name is no name of it.
#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn statements_with_a_control_character_are_to_be_taken_from_json(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let proxy = Proxy::to(nodes.port(1));
    nodes.reach_by(1, proxy.port);
    let before = nodes.states();
    let database = quoted(&nodes.databases[0]);
    nodes
        .admin(1)
        .query_drop(format!(
            "CREATE TABLE {database}.`a\nb` (id INT); GRANT SELECT ON {database}.`a\nb` TO {}",
            nodes.account()
        ))
        .unwrap();
    for args in [
        &["1", "--method", "revoke"][..],
        &["1", "--method", "revoke", "--json"],
    ] {
        let mut program = nodes.fail(args);
        proxy.set_silent(true);
        program.signal("INT");
        program.wait_for("Ctrl-C again leaves at once");
        let finished = program.end_by_signals("INT");
        proxy.set_silent(false);
        finished
            .assert_status(3)
            .assert_says("a name there holds a control character");
        if args.len() == 4 {
            let events = finished.events();
            let by_hand = events.iter().find(|event| event["event"] == "by_hand");
            let statements = by_hand.unwrap()["statements"].as_array().unwrap().iter();
            let statements: Vec<&str> = statements.map(|one| one.as_str().unwrap()).collect();
            nodes.admin(1).query_drop(statements.join(";")).unwrap();
        } else {
            nodes.run(&["recover", "1"], "").assert_status(0);
        }
    }
    nodes
        .admin(1)
        .query_drop(format!(
            "REVOKE SELECT ON {database}.`a\nb` FROM {}",
            nodes.account()
        ))
        .unwrap();
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_interrupt_at_any_moment_leaves_nothing_behind(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let proxies = [1, 2, 3].map(|number| {
            let proxy = Proxy::to(nodes.port(number));
            proxy.set_delay(Duration::from_millis(1));
            nodes.reach_by(number, proxy.port);
            proxy
        });
        let before = nodes.states();
        let round_trips = || proxies.iter().map(Proxy::round_trips).sum::<usize>();
        for moment in 0.. {
            let already = round_trips();
            let mut program = nodes.start(&["1", "2", "3"]);
            // By what it has done, not by the clock: this many requests to the three nodes.
            program.until(|printed| round_trips() >= already + moment || printed.contains(PROMPT));
            program.signal_if_running("INT");
            let finished = program.end();
            finished.assert_status(130);
            assert_eq!(
                nodes.states(),
                before,
                "after {moment} requests: {}{}",
                finished.out,
                finished.err
            );
            // That was the last moment before the nodes are held.
            if finished.out.contains(PROMPT) {
                assert!(moment > 5, "only {moment} requests");
                break;
            }
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_was_taken_offline_comes_back_when_another_node_cannot_be(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let prefix = nodes.prefix();
        nodes.set(&format!("{prefix}_DB_SSL_MODE"), "disabled");
        let proxy = Proxy::to(nodes.port(3));
        nodes.reach_by(3, proxy.port);
        let before = nodes.states();

        for requests in 1.. {
            proxy.cut_after(requests);
            let mut program = nodes.start(&["1", "2", "3"]);
            // Either nothing was changed yet, or node 3 is tried until the network is back.
            if program
                .wait_for_any(&["error: node 3 (", PROMPT])
                .contains(PROMPT)
            {
                assert!(requests > 5, "cut {requests} times");
                proxy.set_cut(false);
                program.answer("Y\n");
                program.end().assert_status(0);
                break;
            }
            proxy.set_cut(false);
            let finished = program.end();
            finished.assert_status(1);
            for number in [1, 2] {
                let went = finished.out.matches(&offline(number)).count();
                assert_eq!(
                    finished.out.matches(&online(number)).count(),
                    went,
                    "{}",
                    finished.out
                );
            }
            assert!(!finished.out.contains(&offline(3)), "{}", finished.out);
            assert_eq!(
                nodes.states(),
                before,
                "cut after {requests} requests: {}{}",
                finished.out,
                finished.err
            );
        }
    }
}

#[test]
fn an_account_that_logs_in_another_way_meanwhile_keeps_no_node() {
    let plugins = mariadb_plugins();
    let server = Server::start(Kind::MariaDb, &[&plugins, "--plugin-load-add=auth_ed25519"]);
    let mut nodes = Nodes::local(Kind::MariaDb);
    nodes.move_to(1, &server);
    nodes.set("LOCAL_DB_PASSWORD", "rootpass");
    // One login of 256 fails, whose bytes to sign end in a 0: the driver takes that for no part of them.
    let logs_in = |err: &str| {
        let is_that =
            |line: &str| line.starts_with("warning: node ") && line.contains("cannot log in");
        assert!(err.lines().all(is_that), "{err}");
        err.is_empty()
    };
    let works = (0..3).any(|_| {
        let mut program = nodes.fail(&["1", "2"]);
        let account = nodes.account();
        nodes
            .admin(1)
            .query_drop(format!(
                "ALTER USER {account} IDENTIFIED VIA ed25519 USING PASSWORD('rootpass')"
            ))
            .unwrap();
        program.answer("Y\n");
        let finished = program.end();
        finished
            .assert_status(0)
            .assert_line(&online(1))
            .assert_line(&online(2));
        logs_in(&finished.err)
    });
    assert!(works);
    // And before an outage.
    let works = (0..3).any(|_| {
        let finished = nodes.run(&["1"], "Y\n");
        finished.assert_status(0).assert_line(&online(1));
        logs_in(&finished.err)
    });
    assert!(works);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_way_back_ends_after_30_seconds_whatever_the_timeout_is(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let proxies = [1, 2].map(|number| {
        let proxy = Proxy::to(nodes.port(number));
        nodes.reach_by(number, proxy.port);
        proxy
    });
    let before = nodes.states();
    let mut program = nodes.fail(&["1", "2", "3", "--timeout", "5m"]);
    for proxy in &proxies {
        proxy.set_silent(true);
    }
    let began = Instant::now();
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(3).assert_line(&online(3));
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
    for (number, proxy) in proxies.iter().enumerate() {
        run_by_hand(&nodes, number + 1, &finished);
        proxy.set_cut(true);
    }
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn whichever_thread_cannot_be_started_the_nodes_come_back(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        let (mut held_and_broke_down, mut most) = (0, 0);
        loop {
            let mut command = nodes.command(&["1", "2", "--json"]);
            command
                .env("LD_PRELOAD", faults_library())
                .env("FAIL_START_THREADS", most.to_string());
            let mut program = Program::start(&mut command);
            program.answer("Y\n");
            let finished = program.finish();
            assert_eq!(
                nodes.states(),
                before,
                "with {most} threads: {}",
                finished.err
            );
            assert!(!finished.err.contains("RUST_BACKTRACE"), "{}", finished.err);
            if finished.status == 0 {
                break;
            }
            assert!(
                [1, 3, 101].contains(&finished.status),
                "{}: {}",
                finished.status,
                finished.err
            );
            if finished.status == 101 && finished.err.contains(&offline(1)) {
                assert!(finished.kinds().contains(&"broke_down".to_owned()));
                finished.assert_says(&online(1)).assert_says(&online(2));
                held_and_broke_down += 1;
            }
            most += 1;
            assert!(most < 50);
        }
        assert!(most > 3 && held_and_broke_down > 0, "{most}");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_account_that_was_dropped_meanwhile_does_not_keep_the_rest(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        // Two rows on node 1; one of them is gone when the node comes back.
        let other = format!("{}@`localhost`", quoted(&nodes.user));
        let mut admin = nodes.admin(1);
        admin
            .query_drop(format!(
                "CREATE USER {other} IDENTIFIED BY 'rootpass'; GRANT ALL ON {}.* TO {other}",
                quoted(&nodes.databases[0])
            ))
            .unwrap();
        let before = nodes.states();
        let mut program = nodes.fail(&["1", "2", "--json"]);
        admin.query_drop(format!("DROP USER {other}")).unwrap();
        program.answer("Y\n");
        let finished = program.end();
        finished
            .assert_status(3)
            .assert_last_kind("account_dropped")
            .assert_says("error: node 1 (")
            .assert_says(&online(2));
        let after = nodes.states();
        // Nothing else is missing, and no undo is left.
        assert!(
            before[0].starts_with(&after[0]),
            "{}\n{}",
            before[0],
            after[0]
        );
        assert_eq!(after[1..], before[1..]);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_password_of_the_account_that_was_changed_meanwhile_is_a_warning(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let name = format!("{}_DB_PASSWORD", nodes.prefix());
        nodes.set(&name, "rootpass");
        let mut program = nodes.fail(&["1", "--json"]);
        nodes
            .admin(1)
            .query_drop(format!(
                "ALTER USER {} IDENTIFIED BY 'another'",
                nodes.account()
            ))
            .unwrap();
        program.answer("Y\n");
        program
            .end()
            .assert_status(0)
            .assert_kinds(&["login_fails"])
            .assert_says(&online(1));
        nodes.password = "another".into();
        nodes.assert_online(1);
        assert_eq!(nodes.events(1), Vec::<String>::new());
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_database_that_was_dropped_meanwhile_does_not_keep_the_account(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let name = format!("{}_DB_PASSWORD", nodes.prefix());
        nodes.set(&name, "rootpass");
        let before = nodes.states();
        let mut program = nodes.fail(&["1"]);
        nodes
            .admin(1)
            .query_drop(format!("DROP DATABASE {}", quoted(&nodes.databases[0])))
            .unwrap();
        program.answer("Y\n");
        program.end().assert_status(0).assert_line(&online(1));
        assert_eq!(nodes.states(), before);
    }
}

impl Program {
    /// Sends the signal again and again until the program has ended.
    pub fn end_by_signals(&mut self, name: &str) -> Finished {
        while self.is_running() {
            self.signal_if_running(name);
            thread::park_timeout(Duration::from_millis(100));
        }
        self.end()
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_node_whose_account_is_locked_for_something_else_is_told_so(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let before = nodes.state(1);
    for password in ["", "rootpass"] {
        nodes.set("LOCAL_DB_PASSWORD", password);
        let mut program = nodes.fail(&["1", "--method", "revoke", "--json"]);
        let lock = |how: &str| {
            let statement = format!("ALTER USER {} ACCOUNT {how}", nodes.account());
            nodes.admin(1).query_drop(statement).unwrap();
        };
        lock("LOCK");
        program.answer("Y\n");
        program
            .end()
            .assert_status(0)
            .assert_kinds(&["login_fails"])
            .assert_says("is locked on this server, for another node or by hand");
        lock("UNLOCK");
        assert_eq!(nodes.state(1), before);
    }
}
