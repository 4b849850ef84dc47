//! The guide's cases, deadlines and `recover` on the MariaDB of other Debians, an older and a newer one than the tests' own.

use std::sync::OnceLock;
use std::thread;

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{Kind, Nodes, Server, offline, online, wait_until};

/// A release, by the name that `scripts/server` has for it and what its server calls itself.
#[derive(Clone, Copy)]
struct Release {
    name: &'static str,
    version: &'static str,
    servers: fn() -> &'static [Server; 3],
}

const MARIADB_10_5: Release = Release {
    name: "mariadb-10.5",
    version: "10.5.",
    servers: || {
        static SERVERS: OnceLock<[Server; 3]> = OnceLock::new();
        SERVERS.get_or_init(|| start("mariadb-10.5"))
    },
};

const MARIADB_11_8: Release = Release {
    name: "mariadb-11.8",
    version: "11.8.",
    servers: || {
        static SERVERS: OnceLock<[Server; 3]> = OnceLock::new();
        SERVERS.get_or_init(|| start("mariadb-11.8"))
    },
};

fn start(name: &'static str) -> [Server; 3] {
    let starting = [(); 3].map(|()| thread::spawn(move || Server::start_release(name, &[])));
    starting.map(|server| server.join().unwrap())
}

impl Release {
    /// Nodes on its servers, in the local environment and in the cloud environment.
    fn nodes(self) -> [Nodes; 2] {
        let local = Nodes::on(Kind::MariaDb, (self.servers)());
        let mut cloud = Nodes::on(Kind::MariaDb, (self.servers)());
        cloud.in_the_cloud();
        [local, cloud]
    }
}

/// Opens a session on each node, takes these offline, and brings them back by Y.
fn go_and_come_back(nodes: &Nodes, named: &[usize]) {
    let before = nodes.states();
    let mut open = [1, 2, 3].map(|number| nodes.log_in(number).unwrap());
    let args: Vec<String> = named.iter().map(usize::to_string).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut program = nodes.fail(&args);
    for number in 1..=3 {
        let session = &mut open[number - 1];
        if named.contains(&number) {
            nodes.assert_offline(number);
            assert!(session.write().is_err(), "node {number}: it still writes");
        } else {
            nodes.assert_online(number);
            session.write().unwrap();
        }
    }
    program.answer("Y\n");
    let finished = program.end();
    assert_eq!(finished.assert_status(0).err, "", "nothing to warn about");
    for number in 1..=3 {
        let went = named.contains(&number);
        assert_eq!(finished.out.contains(&offline(number)), went);
        assert_eq!(finished.out.contains(&online(number)), went);
        nodes.assert_online(number);
    }
    assert_eq!(nodes.states(), before);
}

#[test_case(MARIADB_10_5; "on_mariadb_10_5")]
#[test_case(MARIADB_11_8; "on_mariadb_11_8")]
fn the_guides_cases_go_and_come_back(release: Release) {
    for mut nodes in release.nodes() {
        let version: Option<String> = nodes.admin(1).query_first("SELECT VERSION()").unwrap();
        assert!(version.unwrap().starts_with(release.version));
        // Where it is known, a login of the account proves both ends.
        for password in ["", "rootpass"] {
            let variable = format!("{}_DB_PASSWORD", nodes.prefix());
            nodes.set(&variable, password);
            go_and_come_back(&nodes, &[1]);
            go_and_come_back(&nodes, &[2, 3]);
        }
    }
}

#[test_case(MARIADB_10_5; "on_mariadb_10_5")]
#[test_case(MARIADB_11_8; "on_mariadb_11_8")]
fn grants_of_every_level_come_back_as_they_were(release: Release) {
    for nodes in release.nodes() {
        let (account, database) = (nodes.account(), &nodes.databases[0]);
        nodes
            .admin(1)
            .query_drop(format!(
                "CREATE PROCEDURE `{database}`.p() DO 1; REVOKE ALL ON `{database}`.* FROM {account}; \
                 GRANT SELECT, EXECUTE, DELETE HISTORY ON `{database}`.* TO {account} WITH GRANT OPTION; \
                 GRANT INSERT, UPDATE (id) ON `{database}`.t TO {account}; \
                 GRANT ALTER ROUTINE ON PROCEDURE `{database}`.p TO {account}"
            ))
            .unwrap();
        go_and_come_back(&nodes, &[1]);
        let before = nodes.state(1);
        nodes.fail(&["1"]).kill();
        nodes.run(&["recover"], "").assert_status(0);
        assert_eq!(nodes.state(1), before);
    }
}

#[test_case(MARIADB_10_5; "on_mariadb_10_5")]
#[test_case(MARIADB_11_8; "on_mariadb_11_8")]
fn a_dry_run_changes_nothing_and_is_the_run(release: Release) {
    for nodes in release.nodes() {
        let before = nodes.states();
        let dry = nodes.run(&["1", "2", "--dry-run"], "");
        dry.assert_status(0);
        assert_eq!(dry.err, "", "nothing to warn about");
        assert_eq!(nodes.states(), before);
        let says = ["ACCOUNT LOCK", "REVOKE"][usize::from(nodes.prefix() == "CLOUD")];
        assert!(dry.out.matches(says).count() >= 2, "{}", dry.out);
    }
}

#[test_case(MARIADB_10_5; "on_mariadb_10_5")]
#[test_case(MARIADB_11_8; "on_mariadb_11_8")]
fn after_kill_9_it_is_told_and_recovered(release: Release) {
    for nodes in release.nodes() {
        let before = nodes.states();
        nodes.run(&["status"], "").assert_status(0);
        let mut program = nodes.fail(&["1", "3"]);
        let by = format!(", by process {} on ", program.id());
        program.kill();
        nodes.assert_offline(1);
        let status = nodes.run_elsewhere(&["status"]);
        status.assert_status(1);
        assert_eq!(status.out.matches(&by).count(), 2, "{}", status.out);
        assert_eq!(status.out.matches("): online\n").count(), 1);

        let finished = nodes.run_elsewhere(&["recover"]);
        finished
            .assert_status(0)
            .assert_line(&online(1))
            .assert_line(&online(3));
        assert_eq!(finished.err, "");
        assert_eq!(nodes.states(), before);
        nodes.run_elsewhere(&["status"]).assert_status(0);
    }
}

#[test_case(MARIADB_10_5; "on_mariadb_10_5")]
#[test_case(MARIADB_11_8; "on_mariadb_11_8")]
fn the_server_keeps_the_deadline_after_kill_9(release: Release) {
    // Node 1 by its event scheduler, node 2 by the session that is left there.
    let scheduler = Server::start_release(release.name, &["--event-scheduler=ON"]);
    let mut both = release.nodes();
    for nodes in &mut both {
        nodes.move_to(1, &scheduler);
    }
    let before = both.each_ref().map(Nodes::states);
    for nodes in &both {
        let mut program = nodes.start(&["1", "2", "--for", "3s"]);
        program.wait_for(&offline(1));
        program.wait_for(&offline(2));
        program.kill();
        nodes.assert_offline(1);
        nodes.assert_offline(2);
    }
    for (nodes, before) in both.iter().zip(before) {
        for number in [1, 2] {
            wait_until("the server brings it back", || {
                (nodes.state(number) == before[number - 1]).then_some(())
            });
            nodes.assert_online(number);
        }
        nodes.run_elsewhere(&["status"]).assert_status(0);
    }
}
