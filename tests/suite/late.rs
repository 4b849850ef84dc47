//! Two programs at one node, one of them far away: by the time that what it sends arrives, what it has
//! seen is past.

use std::thread;
use std::time::Duration;

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{
    Kind, Nodes, Program, Server, drop_admin, offline, own_admin, quoted, wait_until,
};
use crate::proxy::Proxy;
use crate::raw::Raw;

/// Brings node 1 back, as one would without fail-start.
fn by_hand(nodes: &Nodes) {
    let (account, database) = (nodes.account(), quoted(&nodes.databases[0]));
    let statements = format!(
        "ALTER USER {account} ACCOUNT UNLOCK; GRANT ALL PRIVILEGES ON {database}.* TO {account}; \
         DROP EVENT {database}.fail_start_undo"
    );
    nodes.admin(1).query_drop(statements).unwrap();
}

/// Answers Y to the program of an outage that nobody has disturbed.
fn comes_back(mut program: Program, nodes: &Nodes, before: &str) {
    program.answer("Y\n");
    program.finish().assert_status(0).assert_kinds(&[]);
    assert_eq!(nodes.state(1), before);
}

/// Starts the program far away, and waits until its request with this text is held up there.
fn hold_up(nodes: &mut Nodes, args: &[&str], text: &str) -> (Proxy, Program) {
    let proxy = Proxy::before(nodes);
    proxy.hold_up_at(text);
    let late = nodes.start(args);
    proxy.wait_until_held_up();
    nodes.reach_by(1, nodes.port(1));
    (proxy, late)
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_late_recover_leaves_the_next_outage_alone(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let before = nodes.state(1);
    for (method, gives_back) in [("lock", "ACCOUNT UNLOCK"), ("revoke", " TO `")] {
        for text in [gives_back, "RELEASE_ALL_LOCKS"] {
            let mut first = nodes.fail(&["1", "--method", method]);
            let (proxy, mut late) = hold_up(&mut nodes, &["recover", "1", "--json"], text);
            first.answer("Y\n");
            first.finish().assert_status(0);
            let next = nodes.fail(&["1", "--method", method, "--json"]);
            proxy.let_arrive();
            let late = late.finish();
            if text == gives_back {
                late.assert_status(3)
                    .assert_last_kind("taken_by_another")
                    .assert_says("took it offline again");
            } else {
                late.assert_status(0);
            }
            nodes.assert_offline(1);
            assert_eq!(nodes.events(1).len(), 1, "{method}, {text}");
            comes_back(next, &nodes, &before);
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_late_recover_leaves_the_guard_of_the_next_outage_alone(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let admin = own_admin(&mut nodes);
    for text in ["fail-start guards", "IS_USED_LOCK", "EVENT_SCHEMA", "KILL"] {
        if text == "KILL" {
            // A guard that guards nothing any more, which is ended.
            let mut killed = nodes.start(&["1", "--for", "10m"]);
            killed.wait_for(&offline(1));
            killed.kill();
            by_hand(&nodes);
        }
        let (proxy, mut late) = hold_up(&mut nodes, &["recover", "1"], text);
        let mut program = nodes.start(&["1", "--for", "10m"]);
        program.wait_for(&offline(1));
        proxy.let_arrive();
        late.finish().assert_status(0);
        let guards = "SELECT COUNT(*) FROM information_schema.processlist WHERE USER = ? AND INFO LIKE 'DO /* fail-start guards%'";
        let guards: Option<u64> = nodes.admin(1).exec_first(guards, (&admin,)).unwrap();
        let is_out = !nodes.events(1).is_empty();
        assert_eq!(is_out, text == "KILL", "{text}");
        assert_eq!(guards, Some(is_out.into()), "{text}");
        program.signal("INT");
        program.finish();
        nodes.assert_online(1);
    }
    drop_admin(&nodes, &admin);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_is_locked_after_the_node_was_brought_back_stays_so(kind: Kind) {
    let nodes = Nodes::local(kind);
    let account = nodes.account();
    for method in ["lock", "revoke"] {
        let mut program = nodes.fail(&["1", "--method", method, "--json"]);
        nodes.run(&["recover", "1"], "").assert_status(0);
        program.wait_for_kind("opened");
        let (out, back) = if method == "lock" {
            (
                format!("ALTER USER {account} ACCOUNT LOCK"),
                format!("ALTER USER {account} ACCOUNT UNLOCK"),
            )
        } else {
            let database = quoted(&nodes.databases[0]);
            (
                format!("REVOKE ALL PRIVILEGES ON {database}.* FROM {account}"),
                format!("GRANT ALL PRIVILEGES ON {database}.* TO {account}"),
            )
        };
        let mut admin = nodes.admin(1);
        admin.query_drop(out).unwrap();
        let by_somebody = nodes.state(1);
        program.answer("Y\n");
        program
            .finish()
            .assert_status(3)
            .assert_last_kind("taken_by_another");
        assert_eq!(nodes.state(1), by_somebody);
        admin.query_drop(back).unwrap();
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn who_was_stopped_looks_again_before_it_says_offline(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let proxy = Proxy::before(&mut nodes);
    proxy.set_delay(Duration::from_millis(40));
    for stopped_at in (0..).map(|step| Duration::from_millis(70 * step)) {
        let mut program = nodes.start(&["1"]);
        wait_until("its undo is there", || {
            (!nodes.events(1).is_empty()).then_some(())
        });
        thread::sleep(stopped_at);
        program.signal("STOP");
        // Its output is read beside.
        thread::sleep(Duration::from_millis(50));
        let was_told = program.printed().contains(&offline(1));
        thread::sleep(Duration::from_secs(1));
        by_hand(&nodes);
        program.signal("CONT");
        if was_told {
            assert!(stopped_at > Duration::ZERO);
            program.kill();
            break;
        }
        let finished = program.finish();
        finished.assert_status(1);
        assert!(
            !finished.out.contains(&offline(1)),
            "{stopped_at:?}: {}",
            finished.out
        );
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_is_locked_after_the_checks_stays_so(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let row = format!("{}@`192.0.2.7`", quoted(&nodes.user));
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!("CREATE USER {row} IDENTIFIED BY 'p'"))
        .unwrap();
    for more in [&[][..], &["--for", "10m"]] {
        let args = [&["1", "--json"], more].concat();
        let (proxy, mut late) = hold_up(&mut nodes, &args, "CREATE EVENT");
        admin
            .query_drop(format!("ALTER USER {row} ACCOUNT LOCK"))
            .unwrap();
        let by_somebody = nodes.state(1);
        proxy.let_arrive();
        late.finish()
            .assert_status(1)
            .assert_kinds(&["already_locked"])
            .assert_says("just now");
        assert_eq!(nodes.state(1), by_somebody);
        nodes.assert_online(1);
        admin
            .query_drop(format!("ALTER USER {row} ACCOUNT UNLOCK"))
            .unwrap();
    }
    admin.query_drop(format!("DROP USER {row}")).unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn without_a_claim_too_y_leaves_the_next_outage_alone(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let before = nodes.state(1);
    for method in ["lock", "revoke"] {
        // As on a cluster that forbids such locks.
        let proxy = Proxy::before(&mut nodes);
        proxy.rewrite("GET_LOCK(", "GOT_LOCK(");
        let mut first = nodes.fail(&["1", "--method", method, "--json"]);
        proxy.assert_has_rewritten();
        nodes.reach_by(1, nodes.port(1));
        by_hand(&nodes);
        assert_eq!(nodes.state(1), before);
        let next = nodes.fail(&["1", "--method", method, "--json"]);
        first.answer("Y\n");
        first
            .finish()
            .assert_status(3)
            .assert_last_kind("taken_by_another");
        nodes.assert_offline(1);
        comes_back(next, &nodes, &before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_undo_that_cannot_be_looked_for_just_now_is_not_left_behind(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let before = nodes.state(1);
    nodes.leave_offline(&["1"]);
    let proxy = Proxy::before(&mut nodes);
    proxy.rewrite_next(
        "RELEASE_ALL_LOCKS",
        "UNION ALL SELECT 2)",
        "UNION ALL SELECT q)",
    );
    nodes
        .run(&["recover", "1", "--json"], "")
        .assert_status(0)
        .assert_kinds(&["retrying"]);
    proxy.assert_has_rewritten();
    assert_eq!(nodes.state(1), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_somebody_gave_back_in_part_is_given_back_whole(kind: Kind) {
    let nodes = Nodes::local(kind);
    let (account, database) = (nodes.account(), quoted(&nodes.databases[0]));
    let row = format!("{}@`192.0.2.7`", quoted(&nodes.user));
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!(
            "CREATE USER {row} IDENTIFIED BY 'p'; GRANT SELECT ON {database}.* TO {row}"
        ))
        .unwrap();
    let before = nodes.state(1);
    for (method, gives_back) in [
        ("lock", format!("ALTER USER {account} ACCOUNT UNLOCK")),
        (
            "revoke",
            format!("GRANT SELECT ON {database}.* TO {account}"),
        ),
    ] {
        let mut program = nodes.fail(&["1", "--method", method, "--json"]);
        admin
            .query_drop(format!(
                "{gives_back}; DROP EVENT {database}.fail_start_undo"
            ))
            .unwrap();
        program.wait_for_kind("opened");
        program.answer("Y\n");
        program.finish().assert_status(0).assert_kinds(&["opened"]);
        assert_eq!(nodes.state(1), before, "{method}");
    }
    admin.query_drop(format!("DROP USER {row}")).unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_recover_that_finds_its_undo_gone_leaves_the_next_outage_alone_too(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let before = nodes.state(1);
    let mut first = nodes.fail(&["1"]);
    let (proxy, mut late) = hold_up(&mut nodes, &["recover", "1", "--json"], "ACCOUNT UNLOCK");
    first.answer("Y\n");
    first.finish().assert_status(0);
    // It has looked for the undo, and asks how the account stands.
    proxy.let_arrive_until(Some(format!("IN ('{}')", nodes.user)));
    proxy.wait_until_held_up();
    let next = nodes.fail(&["1", "--json"]);
    proxy.let_arrive();
    late.finish()
        .assert_status(3)
        .assert_last_kind("taken_by_another");
    nodes.assert_offline(1);
    comes_back(next, &nodes, &before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_another_fail_start_has_taken_in_another_way_stays_so(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.state(1);
    let mut first = nodes.fail(&["1"]);
    by_hand(&nodes);
    let next = nodes.fail(&["1", "--method", "revoke", "--json"]);
    // For reasons of somebody's own.
    let account = nodes.account();
    let set = |lock: &str| {
        let mut admin = nodes.admin(1);
        admin
            .query_drop(format!("ALTER USER {account} ACCOUNT {lock}"))
            .unwrap();
    };
    set("LOCK");
    let taken = nodes.state(1);
    first.answer("Y\n");
    first
        .finish()
        .assert_status(3)
        .assert_says("took it offline again");
    assert_eq!(nodes.state(1), taken);
    set("UNLOCK");
    comes_back(next, &nodes, &before);
}

#[test]
fn a_server_that_has_no_events_any_more_keeps_no_node() {
    let server = Server::start(Kind::MariaDb, &[]);
    let mut nodes = Nodes::local(Kind::MariaDb);
    nodes.move_to(1, &server);
    let before = nodes.state(1);
    let mut program = nodes.fail(&["1", "--json"]);
    let rename = |from: &str, to: &str| {
        let rename = format!("RENAME TABLE mysql.{from} TO mysql.{to}");
        nodes.admin(1).query_drop(rename).unwrap();
    };
    rename("event", "no_event");
    program.answer("Y\n");
    program
        .finish()
        .assert_status(0)
        .assert_kinds(&["undo_not_trusted"]);
    rename("no_event", "event");
    let mut admin = nodes.admin(1);
    let drop = format!("DROP EVENT {}.fail_start_undo", quoted(&nodes.databases[0]));
    admin.query_drop(drop).unwrap();
    assert_eq!(nodes.state(1), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_way_back_is_no_longer_than_the_way_out(kind: Kind) {
    let server = Server::start(kind, &["--max-allowed-packet=65536"]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let (account, database) = (nodes.account(), quoted(&nodes.databases[0]));
    let columns: Vec<String> = (0..340).map(|at| format!("c{at:03}_long_name")).collect();
    let (made, granted) = (columns.join(" INT, "), columns.join("), SELECT ("));
    nodes
        .admin(1)
        .query_drop(format!(
            "CREATE TABLE {database}.wide ({made} INT); REVOKE ALL PRIVILEGES ON {database}.* FROM {account}; \
             GRANT SELECT ({granted}) ON {database}.wide TO {account}"
        ))
        .unwrap();
    let before = nodes.state(1);
    let mut program = nodes.fail(&["1", "--method", "revoke"]);
    program.kill();
    nodes.run(&["recover", "1"], "").assert_status(0);
    assert_eq!(nodes.state(1), before);
}

#[test]
fn who_looks_again_ends_no_login_that_began_later() {
    let server = Server::start(Kind::MySql, &[]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let proxy = Proxy::before(&mut nodes);
    // So far away the login that proves the outage takes longer than a look is good for.
    proxy.set_delay(Duration::from_millis(250));
    let mut program = nodes.start(&["1"]);
    wait_until("its undo is there", || {
        (!nodes.events(1).is_empty()).then_some(())
    });
    thread::sleep(Duration::from_millis(600));
    let mut slow = Raw::connect(nodes.port(1));
    program.wait_for(&offline(1));
    slow.send_user("tester", &nodes.databases[0]);
    program.answer("Y\n");
    program.finish().assert_status(0);
    nodes.assert_online(1);
}
