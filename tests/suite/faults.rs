//! What befalls the machine of a server: a full disk, and a clock that is wrong or jumps.

use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{Kind, Nodes, Server, offline, online, quoted, wait_until};

const HOUR: i64 = 3600;

impl Nodes {
    /// Nodes in both environments, the first of them on this server.
    fn with_first_on(kind: Kind, server: &Server) -> [Self; 2] {
        Self::in_both_environments(kind).map(|mut nodes| {
            nodes.move_to(1, server);
            nodes
        })
    }

    /// Asserts that the node's server cannot write what it has no room for.
    fn assert_disk_is_full(&self) {
        let create = format!("CREATE TABLE {}.more (id INT)", quoted(&self.databases[0]));
        let error = self.admin(1).query_drop(create).unwrap_err().to_string();
        assert!(
            error.contains("full") || error.contains("No space left"),
            "{error}"
        );
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_full_disk_keeps_no_node_offline_for_longer_than_it_is_full(kind: Kind) {
    let server = Server::start_faulty(kind, &[]);
    for nodes in Nodes::with_first_on(kind, &server) {
        let before = nodes.states();
        let mut program = nodes.fail(&["1", "2"]);
        server.inject_faults(true, 0);
        nodes.assert_disk_is_full();
        program.answer("Y\n");
        program.wait_for(&online(2));
        if kind == Kind::MariaDb {
            // It cannot even list events; MySQL has room for what it writes over.
            program.wait_for("No space left on device");
            server.inject_faults(false, 0);
        }
        program.end().assert_status(0).assert_line(&online(1));
        server.inject_faults(false, 0);
        assert_eq!(nodes.states(), before);

        server.inject_faults(true, 0);
        let finished = nodes.run(&["1", "2", "--json"], "Y\n");
        server.inject_faults(false, 0);
        if kind == Kind::MariaDb {
            finished
                .assert_status(1)
                .assert_kinds(&["server_error"])
                .assert_says("No space left on device")
                .assert_says("nothing was changed");
        } else {
            finished
                .assert_status(0)
                .assert_says(&offline(1))
                .assert_says(&online(1));
        }
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_clock_that_is_wrong_moves_no_deadline(kind: Kind) {
    let server = Server::start_faulty(kind, &["--event-scheduler=ON"]);
    for (nodes, off) in Nodes::with_first_on(kind, &server)
        .into_iter()
        .zip([-30 * HOUR, 30 * HOUR])
    {
        server.inject_faults(false, off);
        let before = nodes.states();
        let began = Instant::now();
        let mut program = nodes.start(&["1", "--for", "1s"]);
        program.wait_for(&offline(1));
        program.kill();
        wait_until("the server brings it back", || {
            (nodes.state(1) == before[0]).then_some(())
        });
        let took = began.elapsed();
        assert!((1..20).contains(&took.as_secs()), "{took:?}");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_clock_that_jumps_ahead_ends_an_outage_with_a_deadline_and_that_is_said(kind: Kind) {
    let server = Server::start_faulty(kind, &["--event-scheduler=ON"]);
    for (nodes, off) in Nodes::with_first_on(kind, &server)
        .into_iter()
        .zip([HOUR, 2 * HOUR])
    {
        let before = nodes.states();
        let mut program = nodes.start(&["1", "2", "--for", "10m", "--json"]);
        program.wait_for("back in 10m");
        server.inject_faults(false, off);
        wait_until("the server brings it back", || {
            (nodes.state(1) == before[0]).then_some(())
        });
        nodes.assert_offline(2);
        program.wait_for_kind("opened");
        program.signal("INT");
        let finished = program.end();
        finished
            .assert_status(130)
            .assert_kinds(&["opened"])
            .assert_says(&online(1))
            .assert_says(&online(2))
            .assert_says("node 1: offline for")
            .assert_says("node 2: offline for");
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_clock_that_jumps_ahead_leaves_an_outage_without_a_deadline_alone(kind: Kind) {
    let server = Server::start_faulty(kind, &["--event-scheduler=ON"]);
    for (nodes, off) in Nodes::with_first_on(kind, &server)
        .into_iter()
        .zip([HOUR, 2 * HOUR])
    {
        let before = nodes.states();
        let database = quoted(&nodes.databases[0]);
        let mut program = nodes.fail(&["1"]);
        let mut admin = nodes.admin(1);
        admin
            .query_drop(format!(
                "CREATE EVENT {database}.another ON SCHEDULE AT NOW() + INTERVAL 10 MINUTE DO INSERT INTO {database}.t VALUES ()"
            ))
            .unwrap();
        server.inject_faults(false, off);
        let count = format!("SELECT COUNT(*) FROM {database}.t");
        wait_until("the other event is run", || {
            (admin.query_first(&count).unwrap() == Some(1)).then_some(())
        });
        nodes.assert_offline(1);
        program.answer("Y\n");
        let finished = program.end();
        finished.assert_status(0).assert_line(&online(1));
        assert_eq!(finished.err, "");
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_clock_that_jumps_back_keeps_no_node_offline(kind: Kind) {
    let server = Server::start_faulty(kind, &["--event-scheduler=ON"]);
    for (nodes, off) in Nodes::with_first_on(kind, &server)
        .into_iter()
        .zip([-HOUR, -2 * HOUR])
    {
        let before = nodes.states();
        // The program goes by a clock that does not jump.
        let began = Instant::now();
        let mut program = nodes.start(&["1", "--for", "2s"]);
        program.wait_for("back in 2s");
        server.inject_faults(false, off);
        program.end().assert_status(0).assert_line(&online(1));
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(nodes.states(), before);
        // Without the program the server would take an hour longer, and `recover` does not.
        server.inject_faults(false, off + HOUR);
        let mut program = nodes.start(&["1", "--for", "2s"]);
        program.wait_for("back in 2s");
        program.kill();
        server.inject_faults(false, off);
        nodes.run_elsewhere(&["status", "1"]).assert_status(1);
        nodes
            .run_elsewhere(&["recover", "1"])
            .assert_status(0)
            .assert_line(&online(1));
        assert_eq!(nodes.states(), before);
    }
}
