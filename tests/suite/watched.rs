//! An outage is watched from OFFLINE until its end: what happens to the node meanwhile is ended, or
//! told, or both.

use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use serde_json::Value;
use test_case::test_case;

use crate::harness::{
    Kind, Nodes, PROMPT, Server, drop_admin, held_connection, in_a_terminal, login, offline,
    online, own_admin, quoted, wait_until,
};
use crate::proxy::Proxy;
use crate::raw::Raw;

/// Opens and closes the account's way in, as somebody else would by hand.
fn by_hand(nodes: &Nodes, open: bool) {
    let (account, database) = (nodes.account(), &nodes.databases[0]);
    let statement = match (nodes.prefix(), open) {
        ("LOCAL", true) => format!("ALTER USER {account} ACCOUNT UNLOCK"),
        ("LOCAL", false) => format!("ALTER USER {account} ACCOUNT LOCK"),
        (_, true) => format!("GRANT SELECT ON {}.* TO {account}", quoted(database)),
        (_, false) => format!("REVOKE SELECT ON {}.* FROM {account}", quoted(database)),
    };
    nodes
        .admin(1)
        .query_drop(format!("SET sql_log_bin = 0; {statement}"))
        .unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_session_that_gets_in_is_ended_and_told_once(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let mut program = nodes.fail(&["1", "--json"]);
        for count in 1..=2 {
            // In the time that a login takes, so that the watch sees an account that is kept out.
            let session = wait_until("a session gets in", || {
                by_hand(&nodes, true);
                let session = nodes.log_in(1);
                by_hand(&nodes, false);
                session.ok()
            });
            let mut session = session;
            wait_until("it is ended", || {
                session.conn.query_drop("DO 1").is_err().then_some(())
            });
            if count == 1 {
                program.wait_for_kind("got_in");
            }
        }
        program.answer("Y\n");
        let finished = program.end();
        finished
            .assert_status(0)
            .assert_kinds(&["got_in"])
            .assert_says(&online(1))
            .assert_says("2 sessions ended (2 had got in meanwhile)");
        // The question is asked again below the warning.
        assert_eq!(finished.err.matches(PROMPT).count(), 2, "{}", finished.err);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn who_opens_the_node_is_told_and_the_summary_says_how_long_it_was_offline(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let mut program = nodes.fail(&["1", "--json"]);
        let began = Instant::now();
        by_hand(&nodes, true);
        program.wait_for_kind("opened");
        // Who was let in by somebody is left alone.
        let mut session = nodes.log_in(1).unwrap();
        let opened = began.elapsed();
        wait_until("a look or two", || {
            (began.elapsed() > opened + Duration::from_secs(3)).then_some(())
        });
        session.conn.query_drop("DO 1").unwrap();
        program.answer("Y\n");
        let finished = program.end();
        finished
            .assert_status(0)
            .assert_kinds(&["opened"])
            .assert_says(&online(1));
        let said = finished
            .err
            .split("node 1: offline for ")
            .nth(1)
            .and_then(|rest| rest.split('s').next());
        let said: f64 = said
            .unwrap_or_else(|| panic!("{}", finished.err))
            .parse()
            .unwrap();
        assert!(
            said <= opened.as_secs_f64() + 0.1,
            "{said} s, opened after {opened:?}"
        );
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_node_that_is_away_and_one_that_is_back_is_told_once_each(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let proxy = Proxy::to(nodes.port(1));
        nodes.reach_by(1, proxy.port);
        let before = nodes.states();
        let mut program = nodes.fail(&["1", "2"]);
        for count in 1..=2 {
            proxy.set_cut(true);
            program.wait_for_nth("cannot be reached any more", count);
            proxy.set_cut(false);
            program.wait_for_nth("can be reached again", count);
        }
        program.answer("Y\n");
        let finished = program.end();
        finished
            .assert_status(0)
            .assert_line(&online(1))
            .assert_line(&online(2));
        assert_eq!(finished.err.lines().count(), 4, "{}", finished.err);
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_connection_that_was_killed_is_opened_again_by_the_watch_without_a_word(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let admin = own_admin(&mut nodes);
    let mut program = nodes.fail(&["1"]);
    let id = held_connection(&nodes, 1, &admin);
    nodes.admin(1).query_drop(format!("KILL {id}")).unwrap();
    wait_until("there is another", || {
        let others = "SELECT ID FROM information_schema.processlist WHERE USER = ? AND ID <> ?";
        nodes
            .admin(1)
            .exec_first::<u64, _, _>(others, (&admin, id))
            .unwrap()
    });
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(0).assert_line(&online(1));
    assert_eq!(finished.err, "");
    drop_admin(&nodes, &admin);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_admin_that_is_refused_meanwhile_is_told_with_what_to_check(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let admin = own_admin(&mut nodes);
    let before = nodes.state(1);
    let mut program = nodes.fail(&["1"]);
    let id = held_connection(&nodes, 1, &admin);
    let change = |to: &str| format!("ALTER USER `{admin}` IDENTIFIED BY '{to}'");
    let mut root = nodes.admin(1);
    root.query_drop(format!("{}; KILL {id}", change("q")))
        .unwrap();
    program.wait_for("cannot be watched: login refused for");
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(3);
    let checks = "check TESTER_LOCAL_DB_USER and TESTER_LOCAL_DB_PASSWORD";
    assert_eq!(finished.err.matches(checks).count(), 2, "{}", finished.err);
    assert!(
        !finished.err.contains("cannot be reached"),
        "{}",
        finished.err
    );
    root.query_drop(change("p")).unwrap();
    nodes.run(&["recover", "1"], "").assert_status(0);
    assert_eq!(nodes.state(1), before);
    drop_admin(&nodes, &admin);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_answer_is_not_held_up_by_a_look_that_hangs(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let proxy = Proxy::to(nodes.port(1));
    nodes.reach_by(1, proxy.port);
    let before = nodes.states();
    // By Y, by an interrupt, by the deadline.
    for (args, status) in [
        (&["1", "2"][..], 0),
        (&["1", "2"], 130),
        (&["1", "2", "--for", "3s"], 0),
    ] {
        let mut program = nodes.start(args);
        program.wait_for(&offline(1));
        program.wait_for(&offline(2));
        let looks = proxy.round_trips();
        proxy.hold_up();
        wait_until("a look is under way", || {
            (proxy.round_trips() > looks).then_some(())
        });
        let began = Instant::now();
        match status {
            130 => program.signal("INT"),
            _ if args.len() == 2 => program.answer("Y\n"),
            _ => {}
        }
        let finished = program.end();
        let took = began.elapsed();
        finished
            .assert_status(status)
            .assert_line(&online(1))
            .assert_line(&online(2));
        // The timeout is 10 s.
        assert!(took < Duration::from_secs(6), "{took:?}");
        proxy.let_arrive();
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_silent_node_is_looked_at_for_as_long_as_it_is_silent(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let proxy = Proxy::to(nodes.port(1));
    nodes.reach_by(1, proxy.port);
    let mut program = nodes.fail(&["1", "--timeout", "1s", "--json"]);
    proxy.set_silent(true);
    program.wait_for_kind("away");
    proxy.set_silent(false);
    program.wait_for_kind("reachable_again");
    program.answer("Y\n");
    program
        .end()
        .assert_status(0)
        .assert_kinds(&["away", "reachable_again"])
        .assert_says("no answer within 1s");
}

#[test]
fn a_late_login_that_a_server_does_not_list_is_found_by_the_watch() {
    // MySQL 8.0 to 8.4 list no login that is under way.
    let mut nodes = Nodes::local(Kind::MySql);
    let proxy = Proxy::before(&mut nodes);
    proxy.rewrite("unauthenticated user", "nobody at the moment");
    nodes.assert_online(1);
    let mut client = Raw::connect(nodes.port(1));
    client.send_user(&nodes.user, &nodes.databases[0]);
    let mut program = nodes.fail(&["1", "--json"]);
    assert!(
        client.answer("rootpass").unwrap(),
        "it is too late to show anything"
    );
    wait_until("it is ended", || {
        client.query("DO 1").is_err().then_some(())
    });
    program.wait_for_kind("got_in");
    program.answer("Y\n");
    program.end().assert_status(0).assert_kinds(&["got_in"]);
    proxy.assert_has_rewritten();
}

#[test]
fn what_was_turned_away_so_far_is_told_to_programs() {
    let nodes = Nodes::local(Kind::MySql);
    let mut program = nodes.start(&["1", "--for", "1m", "--json"]);
    program.wait_for("\"event\":\"offline\"");
    for _ in 0..7 {
        nodes.assert_offline(1);
    }
    program.wait_for("\"turned_away\":7,");
    program.signal("INT");
    let finished = program.end();
    finished.assert_status(130);
    let events = finished
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let counts: Vec<u64> = events
        .filter(|event| event["event"] == "turned_away")
        .map(|event| event["turned_away"].as_u64().unwrap())
        .collect();
    assert!(
        counts.is_sorted() && counts.last() == Some(&7),
        "{counts:?}"
    );
}

#[test]
fn the_logins_that_prove_nodes_of_one_server_are_none_of_the_applications() {
    let server = Server::start(Kind::MySql, &[]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.set("LOCAL_DB_PASSWORD", "rootpass");
    for number in 1..=3 {
        nodes.move_to(number, &server);
    }
    for _ in 0..5 {
        let finished = nodes.run(&["1", "2", "3", "--method", "revoke"], "Y\n");
        finished.assert_status(0);
        let none = "0 logins or statements refused";
        assert_eq!(finished.out.matches(none).count(), 3, "{}", finished.out);
    }
    let mut program = nodes.fail(&["1", "2", "--method", "revoke"]);
    nodes.assert_offline(2);
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(0);
    let one = "1 login or statement refused";
    assert_eq!(finished.out.matches(one).count(), 2, "{}", finished.out);
}

#[test]
fn what_one_server_refused_is_shown_once_however_many_nodes_it_has() {
    let server = Server::start(Kind::MySql, &[]);
    let mut nodes = Nodes::local(Kind::MySql);
    for number in 1..=3 {
        nodes.move_to(number, &server);
    }
    let mut program = in_a_terminal(&nodes, "", "1 2 3 --method revoke --for 6s");
    program.wait_for("NODE 3 IS NOW OFFLINE");
    for _ in 0..5 {
        nodes.assert_offline(1);
    }
    let printed = program.wait_for("5 logins or statements refused");
    assert!(!printed.contains("15 logins"), "{printed}");
    let finished = program.end();
    finished.assert_status(0);
    assert!(!finished.out.contains("15 logins"), "{}", finished.out);
}

#[test]
fn an_answer_to_three_far_nodes_takes_no_longer_for_the_watch() {
    // The kept connection goes from the watch to the way back: no new login, which would be five
    // round trips.
    const ROUND_TRIP: Duration = Duration::from_millis(100);
    let mut nodes = Nodes::local(Kind::MySql);
    let proxies = [1, 2, 3].map(|number| {
        let proxy = Proxy::to(nodes.port(number));
        nodes.reach_by(number, proxy.port);
        proxy
    });
    let mut times = Vec::new();
    for _ in 0..5 {
        let mut program = nodes.fail(&["1", "2", "3"]);
        for proxy in &proxies {
            proxy.set_delay(ROUND_TRIP / 2);
        }
        let looks = proxies[0].round_trips();
        wait_until("two looks", || {
            (proxies[0].round_trips() > looks + 2).then_some(())
        });
        let began = Instant::now();
        program.answer("Y\n");
        program.end().assert_status(0);
        times.push(began.elapsed());
        for proxy in &proxies {
            proxy.set_delay(Duration::ZERO);
        }
    }
    times.sort();
    // Read, restore, read, count, drop; and a look that may be under way.
    assert!(times[2] < ROUND_TRIP * 9, "{times:?}");
    drop(login(nodes.port(1), &nodes.user, "rootpass", None).unwrap());
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_new_row_of_the_account_opens_nothing_until_it_holds_something(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let (user, database) = (quoted(&nodes.user), quoted(&nodes.databases[0]));
    let two_looks = Duration::from_millis(2500);
    for (more, kinds) in [
        (String::new(), &[][..]),
        (
            format!("GRANT SELECT ON {database}.* TO {user}@`10.9.9.9`"),
            &["opened"],
        ),
    ] {
        let mut program = nodes.fail(&["1", "--method", "revoke", "--json"]);
        let mut admin = nodes.admin(1);
        let creates = format!("CREATE USER {user}@`10.9.9.9`; {more}");
        admin.query_drop(creates).unwrap();
        thread::park_timeout(two_looks);
        program.answer("Y\n");
        program.end().assert_status(0).assert_kinds(kinds);
        let drops = format!("DROP USER {user}@`10.9.9.9`");
        admin.query_drop(drops).unwrap();
    }
}
