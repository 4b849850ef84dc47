//! Several nodes of one server, by lock: one lock takes all of them offline, and to unlock it for
//! one brings back all. They go and come back together.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mysql::prelude::Queryable;
use serde_json::Value;
use test_case::test_case;

use crate::harness::{Kind, Nodes, PROMPT, Server, login, offline, online, quoted, wait_until};
use crate::proxy::Proxy;

/// Nodes of which the first two are on this server.
fn on_one(kind: Kind, server: &Server) -> Nodes {
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, server);
    nodes.move_to(2, server);
    nodes
}

fn pause(duration: Duration) {
    let until = Instant::now() + duration;
    while let Some(left) = until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        thread::park_timeout(left);
    }
}

fn assert_both_offline(nodes: &Nodes) {
    for number in [1, 2] {
        nodes.assert_offline(number);
        assert_eq!(nodes.events(number).len(), 1, "node {number}");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn nodes_of_one_server_go_and_come_back_together(kind: Kind) {
    let server = Server::start(kind, &[]);
    let nodes = on_one(kind, &server);
    let before = nodes.states();
    for named in [&["1", "2"][..], &["3", "2", "1"], &["2", "3", "1"]] {
        let mut open = [1, 1, 2].map(|number| nodes.log_in(number).unwrap());
        let began = Instant::now();
        let mut program = nodes.fail(named);
        // None of them waits for the other's claim, which would be three seconds.
        assert!(began.elapsed() < Duration::from_secs(3));
        assert_both_offline(&nodes);
        for session in &mut open {
            session.write().unwrap_err();
        }
        // A look or two.
        pause(Duration::from_millis(2500));
        program.answer("Y\n");
        let finished = program.end();
        finished.assert_status(0);
        assert_eq!(finished.err, "");
        for number in [1, 2] {
            finished
                .assert_line(&offline(number))
                .assert_line(&online(number));
        }
        // By whichever was first.
        for said in [
            "3 sessions ended",
            "its sessions are counted with those of node ",
        ] {
            assert_eq!(finished.out.matches(said).count(), 1, "{}", finished.out);
        }
        let offline_for = finished.out.matches(": offline for ").count();
        assert_eq!(offline_for, named.len(), "{}", finished.out);
        assert_eq!(nodes.states(), before);
        nodes.assert_online(1);
        nodes.assert_online(2);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_is_said_of_them_is_right_for_each(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = on_one(kind, &server);
    // One that nobody names is warned of, by each; those that are named are not.
    nodes.move_to(3, &server);
    let before = nodes.states();
    let finished = nodes.run(&["1", "2", "--json"], "Y\n");
    finished
        .assert_status(0)
        .assert_kinds(&["neighbour_goes_too"; 2]);
    let about_3 = finished.err.matches(": node 3 is on the same server");
    assert_eq!(about_3.count(), 2, "{}", finished.err);
    assert_eq!(nodes.run(&["1", "2", "3"], "Y\n").assert_status(0).err, "");

    let _open = nodes.log_in(2).unwrap();
    let finished = nodes.run(&["1", "2", "3", "--dry-run"], "");
    finished.assert_status(0);
    assert_eq!(finished.out.matches("CREATE EVENT").count(), 3);
    assert_eq!(finished.out.matches("ACCOUNT LOCK;").count(), 3);
    assert_eq!(finished.out.matches("1 session would end").count(), 1);
    assert_eq!(nodes.states(), before);

    // A login proves of each that it is offline.
    nodes.set("LOCAL_DB_PASSWORD", "rootpass");
    let finished = nodes.run(&["1", "2", "--for", "100ms", "--json"], "");
    finished.assert_status(0);
    let events = finished.out.lines();
    let events: Vec<Value> = events
        .map(|one| serde_json::from_str(one).unwrap())
        .collect();
    for name in ["offline", "online"] {
        let of_name = events.iter().filter(|event| event["event"] == name);
        let counts: Vec<_> = of_name
            .map(|event| (&event["node"], &event["sessions_ended"]))
            .collect();
        let sum: u64 = counts
            .iter()
            .map(|(_, count)| count.as_u64().unwrap())
            .sum();
        assert_eq!((counts.len(), sum), (2, 1), "{}", finished.out);
    }
    // Nobody but fail-start itself was turned away.
    let refused = events.iter().filter(|event| event["event"] == "online");
    let refused: Vec<u64> = refused
        .filter_map(|event| event["turned_away"].as_u64())
        .collect();
    let counted: &[u64] = if kind == Kind::MySql { &[0] } else { &[] };
    assert_eq!(refused, counted, "{}", finished.out);
    assert_eq!(nodes.states(), before);

    // The same database twice is one node.
    nodes.set("LOCAL_DB_NAME_NODE2", &nodes.databases[0].clone());
    nodes
        .run(&["1", "2", "--json"], "Y\n")
        .assert_status(1)
        .assert_kinds(&["same_database"])
        .assert_says("as node 1");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn killed_at_any_moment_they_come_back_in_any_order(kind: Kind) {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut random = std::env::var("FAIL_START_SEED").map_or(now, |seed| seed.parse().unwrap());
    println!("FAIL_START_SEED={random}");
    let mut next = move |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let server = Server::start(kind, &[]);
    let nodes = on_one(kind, &server);
    let before = nodes.states();
    let began = Instant::now();
    nodes.run(&["1", "2", "3"], "Y\n").assert_status(0);
    let whole = u64::try_from(began.elapsed().as_micros()).unwrap();
    let mut left_offline = 0;
    for round in 0..30 {
        let mut args = vec!["1", "2", "3"];
        if round % 3 == 0 {
            args.extend(["--for", "10m"]);
        }
        let mut program = nodes.start(&args);
        program.answer("Y\n");
        pause(Duration::from_micros(next(whole)));
        program.kill();
        left_offline += usize::from(nodes.states() != before);
        match next(5) {
            0 => drop(nodes.run_elsewhere(&["recover"]).assert_status(0)),
            1 => drop(
                nodes
                    .run_elsewhere(&["recover", "1", "2", "3"])
                    .assert_status(0),
            ),
            // One that is still held brings back both, and the other has nothing to do.
            one @ (2 | 3) => {
                let (first, then) = if one == 2 { ("1", "2") } else { ("2", "1") };
                let at = usize::from(one == 3);
                let is_held = nodes.states()[at].contains("fail_start_undo");
                nodes
                    .run_elsewhere(&["recover", first, "3"])
                    .assert_status(0);
                let states = nodes.states();
                if is_held {
                    assert_eq!(states, before, "after recover {first}");
                }
                let named = |states: &[String; 3]| [states[at].clone(), states[2].clone()];
                assert_eq!(named(&states), named(&before), "after recover {first}");
                nodes.run_elsewhere(&["recover", then]).assert_status(0);
            }
            _ => {
                let mut both = [
                    nodes.start(&["recover", "1", "3"]),
                    nodes.start(&["recover", "2"]),
                ];
                for one in &mut both {
                    one.finish().assert_status(0);
                }
            }
        }
        assert_eq!(nodes.states(), before, "in round {round}");
    }
    assert!(left_offline > 0, "no moment was one at which it matters");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn who_recovers_one_is_told_of_the_other(kind: Kind) {
    let server = Server::start(kind, &[]);
    let nodes = on_one(kind, &server);
    let before = nodes.states();
    for (one, other) in [(1, 2), (2, 1)] {
        let mut program = nodes.fail(&["1", "2"]);
        let process = format!("by process {}", program.id());
        program.kill();
        assert_both_offline(&nodes);
        let status = nodes.run(&["status", "1", "2"], "");
        status.assert_status(1);
        assert_eq!(status.out.matches(&process).count(), 2, "{}", status.out);
        let finished = nodes.run(&["recover", &one.to_string(), "--json"], "");
        let also = format!(
            "the node with the database `{}`",
            nodes.databases[other - 1]
        );
        finished
            .assert_status(0)
            .assert_kinds(&["neighbour_comes_too"])
            .assert_says(&online(one))
            .assert_says(&also);
        assert_eq!(nodes.states(), before);
        nodes.run(&["status", "1", "2"], "").assert_status(0);
    }
    // The one that was not taken comes back with the other.
    nodes.fail(&["1"]).kill();
    let finished = nodes.run(&["recover", "1", "2"], "");
    finished.assert_status(0).assert_line(&online(1));
    assert!(finished.out.contains("): online\n"), "{}", finished.out);
    assert_eq!(finished.err, "");
    assert_eq!(nodes.states(), before);
    // Both by name: there is nothing to tell.
    nodes.fail(&["1", "2"]).kill();
    let finished = nodes.run(&["recover", "2", "1"], "");
    finished
        .assert_status(0)
        .assert_line(&online(1))
        .assert_line(&online(2));
    assert_eq!(finished.err, "");
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_deadline_of_both_is_kept_with_and_without_the_program(kind: Kind) {
    for scheduler in ["--event-scheduler=ON", "--event-scheduler=OFF"] {
        let server = Server::start(kind, &[scheduler]);
        let nodes = on_one(kind, &server);
        let before = nodes.states();
        let finished = nodes.run(&["1", "2", "3", "--for", "1s"], "");
        finished
            .assert_status(0)
            .assert_line(&online(1))
            .assert_line(&online(2));
        assert_eq!(finished.err, "back in 1s (Ctrl-C: now)\n");
        assert_eq!(nodes.states(), before);
        let mut program = nodes.start(&["1", "2", "--for", "1s"]);
        program.wait_for(&offline(1));
        program.wait_for(&offline(2));
        program.kill();
        assert_both_offline(&nodes);
        let began = Instant::now();
        wait_until("they come back by themselves", || {
            (nodes.states() == before).then_some(())
        });
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn another_fail_start_is_refused_whichever_it_names(kind: Kind) {
    let server = Server::start(kind, &[]);
    let nodes = on_one(kind, &server);
    let before = nodes.states();
    let mut holder = nodes.fail(&["1", "2"]);
    for (named, held) in [
        (&["1"][..], 1),
        (&["2"], 1),
        (&["1", "2"], 2),
        (&["2", "1", "3"], 2),
    ] {
        let finished = nodes.run(&[named, &["--json"]].concat(), "Y\n");
        finished
            .assert_status(1)
            .assert_kinds(&["already_offline"; 2][..held]);
        assert!(!finished.err.contains("OFFLINE"), "{}", finished.err);
        assert_both_offline(&nodes);
    }
    holder.answer("Y\n");
    holder.end().assert_status(0);
    // At the same time, one gets both or none.
    for _ in 0..10 {
        let mut programs = [nodes.start(&["1", "2"]), nodes.start(&["2", "1"])];
        let mut refused = Vec::new();
        wait_until("one refuses", || {
            refused = (0..2).filter(|&n| !programs[n].is_running()).collect();
            (!refused.is_empty()).then_some(())
        });
        let (loser, winner) = (refused[0], 1 - refused[0]);
        programs[winner].wait_for(PROMPT);
        programs[loser].end().assert_status(1);
        assert_both_offline(&nodes);
        programs[winner].answer("Y\n");
        let finished = programs[winner].end();
        finished.assert_status(0);
        assert_eq!(finished.err, "");
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn another_admin_is_told_for_which_node_the_account_is_locked(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = on_one(kind, &server);
    let before = nodes.state(1);
    let mut program = nodes.fail(&["1"]);
    let mut root = nodes.admin(1);
    root.query_drop(
        "CREATE USER other IDENTIFIED BY 'p'; GRANT ALL ON *.* TO other WITH GRANT OPTION",
    )
    .unwrap();
    nodes.set("TESTER_LOCAL_DB_USER", "other");
    nodes.set("TESTER_LOCAL_DB_PASSWORD", "p");
    let is_told = "the account is locked on this server for the node with the database";
    let status = nodes.run(&["status", "2"], "");
    status.assert_status(1);
    assert!(status.out.contains(is_told), "{}", status.out);
    for (args, status) in [(&["2"][..], 1), (&["recover", "2"], 3)] {
        let refused = nodes.run(args, "Y\n");
        refused.assert_status(status).assert_says(is_told);
        nodes.assert_offline(1);
    }
    program.answer("Y\n");
    program.end().assert_status(0);
    assert_eq!(nodes.state(1), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn who_opens_the_account_has_opened_both(kind: Kind) {
    let server = Server::start(kind, &[]);
    let nodes = on_one(kind, &server);
    let began = Instant::now();
    let mut program = nodes.fail(&["1", "2", "--json"]);
    let unlock = format!(
        "SET sql_log_bin = 0; ALTER USER {} ACCOUNT UNLOCK",
        nodes.account()
    );
    nodes.admin(1).query_drop(unlock).unwrap();
    program.wait_for_kind("opened");
    let opened = began.elapsed().as_secs_f64();
    pause(Duration::from_secs(3));
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(0).assert_kinds(&["opened"]);
    for number in [1, 2] {
        let said = finished
            .err
            .split(&format!("node {number}: offline for "))
            .nth(1);
        let said = said.and_then(|rest| rest.split(',').next()).unwrap();
        let seconds: f64 = match said.strip_suffix(" ms") {
            Some(milliseconds) => milliseconds.parse::<f64>().unwrap() / 1000.0,
            None => said.trim_end_matches('s').parse().unwrap(),
        };
        assert!(seconds <= opened + 0.2, "{said}, opened after {opened} s");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_holder_whose_nodes_were_recovered_leaves_the_next_outage_of_one_alone(kind: Kind) {
    let server = Server::start(kind, &[]);
    let nodes = on_one(kind, &server);
    let before = nodes.states();
    let mut holder = nodes.fail(&["1", "2", "--json"]);
    nodes.run(&["recover", "2"], "").assert_status(0);
    holder.wait_for_kind("opened");
    // Its session keeps the claim for as long as it is there: somebody ends that.
    let claim = "SELECT ID FROM information_schema.processlist WHERE USER = 'tester' AND ID <> CONNECTION_ID()";
    let mut admin = nodes.admin(1);
    let held: Vec<u64> = admin.query(claim).unwrap();
    for id in held {
        let _ = admin.query_drop(format!("KILL {id}"));
    }
    let mut next = nodes.fail(&["1"]);
    nodes.assert_offline(1);
    holder.answer("Y\n");
    let finished = holder.end();
    finished
        .assert_status(3)
        .assert_last_kind("taken_by_another")
        .assert_says("took it offline again")
        .assert_says("took the node with the database");
    assert!(!finished.err.contains("ONLINE"), "{}", finished.err);
    nodes.assert_offline(1);
    nodes.assert_offline(2);
    next.answer("Y\n");
    next.end().assert_status(0).assert_line(&online(1));
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn where_one_cannot_go_all_come_back(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = on_one(kind, &server);
    nodes.set("LOCAL_DB_SSL_MODE", "disabled");
    let before = nodes.states();
    // The undo of one cannot be left: that of the other must not stay, nor the lock.
    let proxy = Proxy::to(server.port);
    for number in [1, 2] {
        nodes.reach_by(number, proxy.port);
    }
    for number in [1, 2] {
        let database = quoted(&nodes.databases[number - 1]);
        proxy.rewrite(
            &format!("{database}.fail_start_undo ON"),
            &format!("{database}.fail_start_undo No"),
        );
        let finished = nodes.run(&["1", "2", "3", "--json"], "Y\n");
        finished.assert_status(1).assert_kinds(&["server_error"]);
        assert!(!finished.err.contains(&offline(1)), "{}", finished.err);
        assert!(!finished.err.contains(&offline(2)), "{}", finished.err);
        assert_eq!(nodes.states(), before);
    }
    proxy.assert_has_rewritten();
    // Node 2 is reached by an address of its own, that is cut when the account is locked already.
    let second = Proxy::to(server.port);
    nodes.reach_by(1, server.port);
    nodes.reach_by(2, second.port);
    second.set_delay(Duration::from_millis(200));
    let mut program = nodes.start(&["1", "2", "--json"]);
    program.wait_for(&offline(1));
    second.set_cut(true);
    program.wait_for_kind("unreachable");
    second.set_cut(false);
    let finished = program.end();
    finished.assert_status(1).assert_says(&online(1));
    assert!(!finished.err.contains(&offline(2)), "{}", finished.err);
    assert_eq!(nodes.states(), before);
}

#[test]
fn read_only_nodes_of_one_server_go_together_too() {
    let server = Server::start(Kind::MySql, &[]);
    let nodes = on_one(Kind::MySql, &server);
    let before = nodes.states();
    let mut admin = nodes.admin(1);
    admin.query_drop("SET GLOBAL super_read_only = ON").unwrap();
    for killed in [false, true] {
        let mut program = nodes.fail(&["1", "2", "--lift-read-only"]);
        assert_both_offline(&nodes);
        if killed {
            program.kill();
            nodes
                .run(&["recover", "1"], "")
                .assert_status(0)
                .assert_line(&online(1));
        } else {
            program.answer("Y\n");
            let finished = program.end();
            finished
                .assert_status(0)
                .assert_line(&online(1))
                .assert_line(&online(2));
            assert_eq!(finished.err, "");
        }
        let read_only: bool = admin
            .query_first("SELECT @@super_read_only")
            .unwrap()
            .unwrap();
        assert!(read_only);
        assert_eq!(nodes.states(), before);
    }
    admin
        .query_drop("SET GLOBAL super_read_only = OFF")
        .unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_drill_has_sets_of_one_server(kind: Kind) {
    let server = Server::start(kind, &[]);
    let nodes = on_one(kind, &server);
    let before = nodes.states();
    let port = server.port;
    let look = "echo \"$FAIL_START_PHASE $FAIL_START_NODES;\"";
    let finished = nodes.run(
        &["drill", "1", "2", "--at-once", "2", "--", "sh", "-c", look],
        "",
    );
    finished.assert_status(0).assert_says("0 of 7 runs failed");
    let ran: Vec<&str> = finished
        .out
        .lines()
        .filter(|line| line.ends_with(';'))
        .collect();
    let expected = [
        "before ;",
        "offline 1;",
        "back ;",
        "offline 2;",
        "back ;",
        "offline 1,2;",
        "back ;",
    ];
    assert_eq!(ran, expected);
    for other in [1, 2] {
        let warning = format!(": node {other} is on the same server and goes offline too");
        assert_eq!(
            finished.err.matches(&warning).count(),
            1,
            "{}",
            finished.err
        );
    }
    assert_eq!(nodes.states(), before);
    drop(login(port, &nodes.user, "rootpass", None).unwrap());
}
