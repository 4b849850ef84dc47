//! A node comes back even if the program is gone: by `recover`, from anywhere, and with `--for` by
//! the server itself.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{
    Finished, Kind, Nodes, PROMPT, Server, admin_without_events, drop_admin, login, offline,
    online, own_admin, quoted, servers, wait_until,
};
use crate::proxy::Proxy;

impl Nodes {
    /// Starts an outage and kills the program at its prompt.
    pub fn leave_offline(&self, args: &[&str]) {
        self.fail(args).kill();
    }

    #[track_caller]
    fn assert_status_says(&self, number: usize, text: &str) -> Finished {
        let finished = self.run_elsewhere(&["status", &number.to_string()]);
        let online = i32::from(!text.starts_with("online"));
        finished.assert_status(online);
        let line = format!("node {number} (127.0.0.1:");
        assert!(
            finished.out.starts_with(&line) && finished.out.contains(&format!("): {text}")),
            "'{text}' is not in {finished:?}"
        );
        finished
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn after_kill_9_status_tells_and_recover_brings_back(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        let mut program = nodes.fail(&["1", "3"]);
        let process = program.id();
        program.kill();
        nodes.assert_offline(1);
        for number in [1, 3] {
            let finished = nodes.assert_status_says(number, "offline for ");
            assert!(
                finished
                    .out
                    .contains(&format!(", by process {process} on ")),
                "{}",
                finished.out
            );
        }
        nodes.assert_status_says(2, "online\n");

        // Without nodes: those that were taken offline, and no other.
        let finished = nodes.run_elsewhere(&["recover"]);
        finished
            .assert_status(0)
            .assert_line(&online(1))
            .assert_line(&online(3));
        assert!(!finished.out.contains(&online(2)), "{}", finished.out);
        assert_eq!(finished.err, "");
        assert_eq!(nodes.states(), before);
        nodes.assert_online(1);
        nodes.run_elsewhere(&["status"]).assert_status(0);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn recover_can_be_run_again_and_again(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        for _ in 0..2 {
            let finished = nodes.run_elsewhere(&["recover", "1", "2"]);
            finished.assert_status(0);
            assert_eq!(
                finished.out.matches("): online\n").count(),
                2,
                "{}",
                finished.out
            );
            assert_eq!(nodes.states(), before);
        }
        nodes.leave_offline(&["2"]);
        nodes
            .run_elsewhere(&["recover", "1", "2"])
            .assert_status(0)
            .assert_line(&online(2));
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn who_recovers_at_the_same_time_is_left_alone(kind: Kind) {
    let nodes = Nodes::local(kind);
    for _ in 0..40 {
        let two = [(); 2].map(|()| nodes.start(&["recover", "1", "2", "3"]));
        for mut program in two {
            program.finish().assert_status(0);
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_account_comes_back_whose_database_is_gone(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    nodes.leave_offline(&["1"]);
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!("DROP DATABASE {}", quoted(&nodes.databases[0])))
        .unwrap();
    let stands = |how: &str| {
        let finished = nodes.run(&["status", "1"], "");
        finished.assert_status(1);
        assert!(finished.out.contains(how), "{finished:?}");
    };
    stands("locked, not by fail-start");
    nodes
        .run(&["recover", "1"], "")
        .assert_status(0)
        .assert_line(&online(1));
    login(server.port, &nodes.user, "rootpass", None).unwrap();
    stands("it has no database named");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn killed_at_every_step_it_comes_back_the_same(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let name = format!("{}_DB_PASSWORD", nodes.prefix());
        nodes.set(&name, "rootpass");
        let before = nodes.states();
        let proxy = Proxy::to(nodes.port(1));
        proxy.set_delay(Duration::from_millis(1));
        nodes.reach_by(1, proxy.port);
        let mut went = 0;
        for moment in 1.. {
            let already = proxy.round_trips();
            let mut program = nodes.start(&["1"]);
            program.answer("Y\n");
            program.until(|_| proxy.round_trips() >= already + moment);
            let ended = !program.is_running();
            program.kill();
            // What was under way arrives before the next program looks.
            proxy.settle();
            went += usize::from(nodes.state(1) != before[0]);
            nodes.run_elsewhere(&["recover", "1"]).assert_status(0);
            assert_eq!(nodes.states(), before, "killed after {moment} requests");
            if ended {
                break;
            }
        }
        assert!(went >= 4, "only {went} times anything was changed");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn killed_at_200_random_moments_it_comes_back_the_same(kind: Kind) {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut random = std::env::var("FAIL_START_SEED").map_or(now, |seed| seed.parse().unwrap());
    println!("FAIL_START_SEED={random}");
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        // As long as it takes on this machine just now, from the start to the end.
        let began = Instant::now();
        nodes.run(&["1", "2", "3"], "Y\n").assert_status(0);
        let whole = u64::try_from(began.elapsed().as_micros()).unwrap();
        let mut left_offline = 0;
        for _ in 0..100 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let mut program = nodes.start(&["1", "2", "3"]);
            program.answer("Y\n");
            let moment = Instant::now() + Duration::from_micros((random >> 33) % whole);
            while let Some(left) = moment
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
            {
                thread::park_timeout(left);
            }
            program.kill();
            left_offline += usize::from(nodes.states() != before);
            nodes
                .run_elsewhere(&["recover", "1", "2", "3"])
                .assert_status(0);
            assert_eq!(nodes.states(), before);
        }
        assert!(left_offline > 0, "no moment was one at which it matters");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn of_two_that_start_together_one_gets_the_node(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        for _ in 0..25 {
            let mut programs = [(); 2].map(|()| nodes.start(&["1", "--json"]));
            let mut refused = Vec::new();
            wait_until("one refuses", || {
                refused = (0..2).filter(|&n| !programs[n].is_running()).collect();
                (!refused.is_empty()).then_some(())
            });
            let (loser, winner) = (refused[0], 1 - refused[0]);
            programs[winner].wait_for(PROMPT);
            let kinds = programs[loser].end().assert_status(1).kinds();
            assert!(
                kinds == ["already_offline"] || kinds == ["taken_by_another"],
                "{kinds:?}"
            );
            nodes.assert_offline(1);
            programs[winner].answer("Y\n");
            programs[winner]
                .end()
                .assert_status(0)
                .assert_says(&online(1));
            assert_eq!(nodes.states(), before);
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_node_that_is_held_is_refused_with_the_holder(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        let mut holder = nodes.fail(&["1"]);
        let finished = nodes.run(&["1", "2", "--json"], "Y\n");
        let process = format!("by process {} on ", holder.id());
        finished
            .assert_status(1)
            .assert_kinds(&["already_offline"])
            .assert_says(&process);
        assert!(!finished.err.contains("OFFLINE"), "{}", finished.err);
        holder.answer("Y\n");
        holder.end().assert_status(0);
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_holder_whose_node_was_recovered_leaves_the_next_outage_alone(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        let mut first = nodes.fail(&["1", "--json"]);
        nodes
            .run_elsewhere(&["recover", "1"])
            .assert_status(0)
            .assert_line(&online(1));
        nodes.assert_online(1);
        let mut second = nodes.fail(&["1"]);
        first.answer("Y\n");
        let process = format!("by process {} on ", second.id());
        let finished = first.end();
        finished
            .assert_status(3)
            .assert_last_kind("taken_by_another")
            .assert_says(&process);
        assert!(!finished.err.contains("by hand"), "{}", finished.err);
        nodes.assert_offline(1);
        second.answer("Y\n");
        second.end().assert_status(0);
        assert_eq!(nodes.states(), before);

        let mut first = nodes.fail(&["1", "--json"]);
        nodes.run_elsewhere(&["recover"]).assert_status(0);
        first.answer("Y\n");
        let finished = first.end();
        finished
            .assert_status(0)
            .assert_kinds(&["opened"])
            .assert_says(&online(1));
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_account_that_is_locked_for_another_node_is_left_to_that_one(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.move_to(2, &servers(kind)[0]);
    let before = nodes.states();
    let mut holder = nodes.fail(&["1"]);
    for args in [&["2", "--json"][..], &["recover", "2", "--json"]] {
        let finished = nodes.run(args, "Y\n");
        assert_ne!(finished.status, 0);
        finished.assert_kinds(&["already_offline"]);
        finished.assert_says(&format!(
            "for the node with the database `{}`",
            nodes.databases[0]
        ));
    }
    nodes.assert_status_says(2, "the account is locked on this server for the node with");
    nodes.assert_offline(1);
    holder.answer("Y\n");
    holder.end().assert_status(0);
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_forged_undo_is_refused_by_name_and_never_run(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        let (database, account) = (quoted(&nodes.databases[0]), nodes.account());
        // The account may make events in its own database; this one would give it another database
        // too.
        let forged = |name: &str| {
            format!(
                "CREATE EVENT {database}.{name} ON SCHEDULE EVERY 10 SECOND DISABLE DO BEGIN \
                 DECLARE CONTINUE HANDLER FOR 1133, 1146, 1305, 1396, 1410 BEGIN END;\n\
                 GRANT ALL PRIVILEGES ON mysql.* TO {account};\nEND"
            )
        };
        nodes
            .log_in(1)
            .unwrap()
            .conn
            .query_drop(forged("fail_start_undo"))
            .unwrap();
        let with_event = nodes.states();
        let by = format!(
            "fail_start_undo in {database}, by '{}@%', was not made by fail-start",
            nodes.user
        );
        for (args, status) in [
            (&["1", "2", "--json"][..], 1),
            (&["recover", "1", "--json"], 3),
            (&["recover", "--json"], 3),
        ] {
            nodes
                .run(args, "Y\n")
                .assert_status(status)
                .assert_kinds(&["undo_not_trusted"])
                .assert_says(&by);
        }
        nodes.assert_status_says(1, "the event fail_start_undo in");
        assert_eq!(nodes.states(), with_event);
        nodes
            .admin(1)
            .query_drop(format!("DROP EVENT {database}.fail_start_undo"))
            .unwrap();
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_genuine_undo_that_somebody_altered_is_refused(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        let (database, other) = (quoted(&nodes.databases[0]), format!("ev_{}", nodes.user));
        let mut admin = nodes.admin(1);
        admin
            .query_drop(format!(
                "CREATE USER `{other}` IDENTIFIED BY 'p'; GRANT EVENT ON {database}.* TO `{other}`"
            ))
            .unwrap();
        if kind == Kind::MySql {
            // It guards what such an admin made against all who are not.
            admin
                .query_drop(format!("GRANT SYSTEM_USER ON *.* TO `{other}`"))
                .unwrap();
        }
        nodes.leave_offline(&["1"]);
        let mut editor = crate::harness::login(nodes.port(1), &other, "p", None).unwrap();
        let body = nodes.events(1)[0].split_once("BEGIN").unwrap().1.to_owned();
        // Even a change that changes nothing makes the event somebody else's.
        editor
            .query_drop(format!(
                "ALTER EVENT {database}.fail_start_undo DO BEGIN{body}"
            ))
            .unwrap();
        nodes
            .run_elsewhere(&["recover", "1", "--json"])
            .assert_status(3)
            .assert_kinds(&["undo_not_trusted"])
            .assert_says(&format!("'{other}@%'"));
        nodes.assert_offline(1);
        admin
            .query_drop(format!(
                "DROP EVENT {database}.fail_start_undo; DROP USER `{other}`"
            ))
            .unwrap();
        // What the guide does is all that is left.
        nodes
            .run_elsewhere(&["recover", "1", "--json"])
            .assert_status(0)
            .assert_kinds(&["undo_missing"])
            .assert_says(&online(1));
        nodes.assert_online(1);
        if nodes.prefix() == "LOCAL" {
            assert_eq!(nodes.states(), before);
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_undo_of_another_admin_or_version_is_told_as_that(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        let variables = nodes.variables.clone();
        let other = own_admin(&mut nodes);
        nodes.leave_offline(&["1"]);
        let others = std::mem::replace(&mut nodes.variables, variables);
        let by = format!("by another account, '{other}@%'");
        let refused = [
            (&["1", "--json"][..], 1),
            (&["recover", "1", "--json"][..], 3),
        ];
        for (args, status) in refused {
            let finished = nodes.run(args, "Y\n");
            finished
                .assert_status(status)
                .assert_kinds(&["undo_not_trusted"])
                .assert_says(&by)
                .assert_says("run `fail-start recover` as that one");
        }
        let ours = std::mem::replace(&mut nodes.variables, others);
        nodes
            .run(&["recover", "1"], "")
            .assert_status(0)
            .assert_line(&online(1));
        nodes.variables = ours;
        drop_admin(&nodes, &other);
        assert_eq!(nodes.states(), before);

        let database = quoted(&nodes.databases[0]);
        nodes
            .admin(1)
            .query_drop(format!(
                "SET sql_log_bin = 0; CREATE EVENT {database}.fail_start_undo ON SCHEDULE EVERY 10 SECOND DISABLE DO BEGIN \
                 DO 'fail-start 7', '3.2.1', 'laptop', 1; END"
            ))
            .unwrap();
        for (args, status) in refused {
            nodes
                .run(args, "Y\n")
                .assert_status(status)
                .assert_kinds(&["undo_not_trusted"])
                .assert_says("by fail-start 3.2.1, ");
        }
        nodes
            .admin(1)
            .query_drop(format!("DROP EVENT {database}.fail_start_undo"))
            .unwrap();
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_undo_that_somebody_altered_does_not_keep_the_program_from_bringing_the_node_back(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        let (database, mut admin) = (quoted(&nodes.databases[0]), nodes.admin(1));
        let other = format!("`ev_{}`@`%`", nodes.user);
        admin
            .query_drop(format!("CREATE USER {other}; GRANT ALL ON *.* TO {other}"))
            .unwrap();
        // Another body, one with what says who made it, and another maker alone.
        for altered in ["DO DO 1", "DO BEGIN BY; END", "COMMENT 'x'"] {
            let mut program = nodes.fail(&["1", "--json"]);
            let events = nodes.events(1);
            let by = events[0].split_once("DO 'fail-start").unwrap().1;
            let by = format!("DO 'fail-start{}", by.split_once(';').unwrap().0);
            let definer = if altered.starts_with("COMMENT") {
                format!("DEFINER = {other}")
            } else {
                String::new()
            };
            let altered = altered.replace("BY", &by);
            admin
                .query_drop(format!(
                    "ALTER {definer} EVENT {database}.fail_start_undo {altered}"
                ))
                .unwrap();
            program.answer("Y\n");
            program
                .end()
                .assert_status(0)
                .assert_kinds(&["undo_not_trusted"])
                .assert_says(&online(1));
            admin
                .query_drop(format!("DROP EVENT {database}.fail_start_undo"))
                .unwrap();
            assert_eq!(nodes.states(), before);
        }
        admin.query_drop(format!("DROP USER {other}")).unwrap();
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn without_the_event_privilege_it_warns_and_recover_does_what_the_guide_does(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let name = format!("noev{}", nodes.user);
        let (mut admin, database, account) =
            (nodes.admin(1), quoted(&nodes.databases[0]), nodes.account());
        admin
            .query_drop(format!(
                "REVOKE ALL ON {database}.* FROM {account}; GRANT SELECT, INSERT ON {database}.* TO {account}; \
                 CREATE USER `{name}` IDENTIFIED BY 'p'; GRANT SELECT, INSERT, PROCESS, CREATE USER, SUPER ON *.* TO `{name}` \
                 WITH GRANT OPTION"
            ))
            .unwrap();
        let prefix = nodes.prefix();
        let low = [
            (format!("TESTER_{prefix}_DB_USER"), name.clone()),
            (format!("TESTER_{prefix}_DB_PASSWORD"), "p".to_owned()),
        ];
        let full = nodes.variables.clone();
        nodes.variables.extend(low);
        let mut program = nodes.fail(&["1"]);
        assert_eq!(nodes.events(1), Vec::<String>::new());
        program.kill();
        nodes.assert_offline(1);

        let with_low = std::mem::replace(&mut nodes.variables, full);
        let how = if prefix == "LOCAL" {
            "locked, not by fail-start (fail-start recover 1 unlocks it)"
        } else {
            "without grants, not by fail-start (fail-start recover 1 grants it ALL PRIVILEGES)"
        };
        nodes.assert_status_says(1, how);
        // It may have been somebody else: only a node that is named is touched.
        nodes.run_elsewhere(&["recover"]).assert_status(0);
        nodes.assert_offline(1);
        nodes
            .run_elsewhere(&["recover", "1", "--json"])
            .assert_status(0)
            .assert_kinds(&["undo_missing"])
            .assert_says(&online(1));
        nodes.assert_online(1);
        nodes.assert_status_says(1, "online\n");
        if prefix == "LOCAL" {
            nodes.variables = with_low;
            let finished = nodes.run(&["1", "--json"], "Y\n");
            finished.assert_status(0).assert_kinds(&["no_undo"]);
        }
        admin.query_drop(format!("DROP USER `{name}`")).unwrap();
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn status_waits_no_longer_than_the_timeout_however_many_are_silent(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let before = nodes.states();
    let mut open = nodes.log_in(1).unwrap();
    let silent: Vec<TcpListener> = (0..6)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    for (number, listener) in (4..).zip(&silent) {
        nodes.set(&format!("LOCAL_DB_HOST_NODE{number}"), "127.0.0.1");
        nodes.set(
            &format!("LOCAL_DB_PORT_NODE{number}"),
            &listener.local_addr().unwrap().port().to_string(),
        );
    }
    let began = Instant::now();
    let finished = nodes.run_elsewhere(&["status", "--timeout", "1s"]);
    let took = began.elapsed();
    finished.assert_status(1);
    // One after another it would be six.
    assert!(took < Duration::from_secs(4), "{took:?}");
    let lines: Vec<&str> = finished.out.lines().collect();
    assert_eq!(lines.len(), 9, "{}", finished.out);
    assert!(
        lines[..3].iter().all(|line| line.ends_with(": online")),
        "{}",
        finished.out
    );
    assert!(
        lines[3..]
            .iter()
            .all(|line| line.contains("): no answer within 1s")),
        "{}",
        finished.out
    );
    open.write().unwrap();
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_is_wrong_with_a_node_is_said_on_its_line(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.set("TESTER_LOCAL_DB_PASSWORD_NODE1", "s3cret");
    nodes.set("LOCAL_DB_USER_NODE2", "nobody");
    nodes.set("LOCAL_DB_NAME_NODE2", "nodb");
    nodes.set("LOCAL_DB_PORT_NODE3", "1");
    let finished = nodes.run_elsewhere(&["status"]);
    finished.assert_status(1);
    let lines: Vec<&str> = finished.out.lines().collect();
    for (line, says) in lines.iter().zip([
        "login refused for",
        "no account named 'nobody'",
        "no database named 'nodb'",
        "nothing listens there",
    ]) {
        assert!(line.contains(says), "{line}");
    }
    assert_eq!((lines.len(), finished.err.as_str()), (4, ""));
    assert!(!finished.out.contains("s3cret"));
    let finished = nodes.run_elsewhere(&["recover", "--json"]);
    finished.assert_status(3).assert_kinds(&[
        "login_refused",
        "no_account",
        "no_database",
        "nothing_listens",
    ]);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn for_a_time_nobody_is_asked(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        let began = Instant::now();
        let mut program = nodes.start(&["1", "2", "--for", "1500ms"]);
        // Nobody can answer, and nobody need.
        program.end_input();
        program.wait_for("back in 2s");
        nodes.assert_offline(1);
        nodes.assert_offline(2);
        let finished = program.end();
        let took = began.elapsed();
        finished
            .assert_status(0)
            .assert_line(&online(1))
            .assert_line(&online(2));
        assert!(took >= Duration::from_millis(1500), "{took:?}");
        assert!(!finished.out.contains(PROMPT));
        assert!(!finished.err.contains("warning"), "{}", finished.err);
        assert_eq!(nodes.states(), before);

        let mut program = nodes.start(&["1", "--for", "10m"]);
        program.wait_for("back in 10m");
        nodes.assert_status_says(1, "offline for ");
        program.signal("INT");
        program.end().assert_status(130).assert_line(&online(1));
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_server_keeps_the_deadline_when_the_program_is_killed(kind: Kind) {
    // Far from UTC, so that a deadline in local time would be hours away, or long past.
    for zone in ["+05:30", "-08:00"] {
        let zone = format!("--default-time-zone={zone}");
        let server = Server::start(
            kind,
            &[
                "--event-scheduler=ON",
                &zone,
                "--log-bin=binlog",
                "--server-id=1",
            ],
        );
        for mut nodes in Nodes::in_both_environments(kind) {
            nodes.move_to(1, &server);
            let before = nodes.states();
            let log_was = server.log_position();
            let began = Instant::now();
            let mut program = nodes.start(&["1", "--for", "3s"]);
            program.wait_for(&offline(1));
            program.kill();
            let finished = nodes.assert_status_says(1, "offline for ");
            // By the server's clock, not by its time zone: seconds, not hours.
            let age = finished
                .out
                .split_once("offline for ")
                .unwrap()
                .1
                .split_once(',')
                .unwrap()
                .0;
            assert!(
                age.ends_with('s') && !age.contains(' ') && age.len() <= 3,
                "{age}"
            );
            assert!(
                finished.out.contains(", back by ") && finished.out.trim_end().ends_with(" UTC"),
                "{}",
                finished.out
            );
            wait_until("the server brings it back", || {
                (nodes.state(1) == before[0]).then_some(())
            });
            let took = began.elapsed();
            assert!((3..20).contains(&took.as_secs()), "{took:?}");
            nodes.assert_status_says(1, "online\n");
            assert_eq!(server.log_position(), log_was);
            nodes.assert_online(1);
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_server_that_was_down_at_the_deadline_keeps_it_later(kind: Kind) {
    let options = ["--event-scheduler=ON"];
    let server = Server::start(kind, &options);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let before = nodes.states();
    let mut program = nodes.start(&["1", "--for", "100ms"]);
    program.wait_for(&offline(1));
    program.kill();
    let killed = Instant::now();
    let port = server.port;
    let folder = server.shut_down();
    wait_until("the deadline passes", || {
        (killed.elapsed() > Duration::from_secs(8)).then_some(())
    });
    let _server = Server::start_again(kind, folder, port, &options);
    wait_until("the server brings it back", || {
        (nodes.state(1) == before[0]).then_some(())
    });
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_server_that_was_restarted_or_away_for_10_seconds_is_waited_for(kind: Kind) {
    let mut server = Server::start(kind, &[]);
    for (environment, away) in [
        ("local", Duration::ZERO),
        ("local", Duration::from_secs(10)),
        ("cloud", Duration::ZERO),
    ] {
        let mut nodes = Nodes::local(kind);
        nodes.move_to(1, &server);
        if environment == "cloud" {
            nodes.in_the_cloud();
        }
        let before = nodes.states();
        let mut program = nodes.fail(&["1", "2", "--json"]);
        let port = server.port;
        let folder = server.shut_down();
        if away.is_zero() {
            server = Server::start_again(kind, folder, port, &[]);
            program.answer("Y\n");
        } else {
            program.answer("Y\n");
            program.wait_for_kind("retrying");
            program.wait_for(&online(2));
            let answered = Instant::now();
            wait_until("10 s pass", || (answered.elapsed() > away).then_some(()));
            server = Server::start_again(kind, folder, port, &[]);
        }
        program
            .end()
            .assert_status(0)
            .assert_says(&online(1))
            .assert_says(&online(2));
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_server_that_is_gone_for_good_leaves_true_statements(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let before = nodes.states();
    let mut program = nodes.fail(&["1", "2", "--json"]);
    let port = server.port;
    let folder = server.shut_down();
    let began = Instant::now();
    program.answer("Y\n");
    let finished = program.end();
    let took = began.elapsed();
    finished
        .assert_status(3)
        .assert_says(&online(2))
        .assert_last_kind("nothing_listens")
        .assert_says("error: node 1 (")
        .assert_says("fail-start recover 1");
    assert!((25..45).contains(&took.as_secs()), "{took:?}");
    let _server = Server::start_again(kind, folder, port, &[]);
    nodes.assert_offline(1);
    crate::harness::run_by_hand(&nodes, 1, &finished);
    assert_eq!(nodes.states(), before);
}

#[test]
fn a_server_that_is_read_only_at_the_deadline_keeps_it_all_the_same() {
    let server = Server::start(Kind::MySql, &[]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let before = nodes.states();
    let mut program = nodes.start(&["1", "--for", "100ms"]);
    program.wait_for(&offline(1));
    program.kill();
    let mut admin = nodes.admin(1);
    admin.query_drop("SET GLOBAL super_read_only = ON").unwrap();
    wait_until("the server brings it back", || {
        (nodes.state(1) == before[0]).then_some(())
    });
    let read_only = "SELECT @@GLOBAL.super_read_only";
    wait_until("it is read-only again", || {
        (admin.query_first(read_only).unwrap() == Some(true)).then_some(())
    });
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_the_undo_says_holds_for_its_account_though_the_settings_name_none(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let before = nodes.states();
    let user = nodes.user.clone();
    for method in ["lock", "revoke"] {
        nodes.leave_offline(&["1", "--method", method]);
        nodes.set("LOCAL_DB_USER", "nobody");
        let status = nodes.run(&["status", "1"], "");
        assert!(status.out.contains("offline for"), "{status:?}");
        nodes
            .run(&["recover", "1"], "")
            .assert_status(0)
            .assert_line(&online(1));
        assert_eq!(nodes.states(), before);
        nodes.run(&["recover", "1"], "").assert_status(3);
        nodes.set("LOCAL_DB_USER", &user);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_undo_that_the_admin_may_not_see_any_more_is_told(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let admin = admin_without_events(&mut nodes);
    let (mut root, database) = (nodes.admin(1), quoted(&nodes.databases[0]));
    root.query_drop(format!("GRANT EVENT ON {database}.* TO `{admin}`"))
        .unwrap();
    let before = nodes.states();
    let mut program = nodes.start(&["1", "--json"]);
    program.wait_for("\"offline\"");
    // A session learns only later that it may not any more.
    root.query_drop(format!("REVOKE EVENT ON {database}.* FROM `{admin}`"))
        .unwrap();
    program.answer("Y\n");
    program
        .end()
        .assert_status(0)
        .assert_kinds(&["undo_not_trusted"])
        .assert_says("may not see it any more");
    root.query_drop(format!(
        "DROP EVENT {database}.fail_start_undo; DROP USER `{admin}`"
    ))
    .unwrap();
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn how_long_a_node_was_offline_is_told_only_where_it_is_known(kind: Kind) {
    let nodes = Nodes::local(kind);
    let offline_ms = || {
        let finished = nodes.run(&["recover", "1", "--json"], "");
        let events = finished.assert_status(0).events();
        let online = events.iter().find(|event| event["event"] == "online");
        online.unwrap()["offline_ms"].clone()
    };
    nodes.leave_offline(&["1"]);
    assert!(offline_ms().is_number());
    let lock = format!("ALTER USER {} ACCOUNT LOCK", nodes.account());
    nodes.admin(1).query_drop(lock).unwrap();
    assert!(offline_ms().is_null());
}
