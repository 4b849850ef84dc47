//! The guide's four cases, on every combination of nodes.

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{Kind, Nodes, Program, offline, online};

const COMBINATIONS: [&[usize]; 7] = [&[1], &[2], &[3], &[1, 2], &[1, 3], &[2, 3], &[1, 2, 3]];

/// The named nodes go offline and come back; the others never notice.
fn every_combination(nodes: &Nodes) {
    let before = nodes.states();
    for named in COMBINATIONS {
        let args: Vec<String> = named.iter().map(usize::to_string).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut open: Vec<_> = (1..=3)
            .map(|number| nodes.log_in(number).unwrap())
            .collect();

        let mut program = nodes.fail(&args);
        for number in 1..=3 {
            let session = &mut open[number - 1];
            if named.contains(&number) {
                nodes.assert_offline(number);
                assert!(
                    session.write().is_err(),
                    "node {number}: an open session still writes"
                );
            } else {
                nodes.assert_online(number);
                session.write().unwrap();
            }
        }

        program.answer("Y\n");
        let finished = program.end();
        finished.assert_status(0);
        assert_eq!(finished.err, "", "nothing to warn about");
        for number in 1..=3 {
            let went = usize::from(named.contains(&number));
            assert_eq!(
                finished.out.matches(&offline(number)).count(),
                went,
                "{}",
                finished.out
            );
            assert_eq!(
                finished.out.matches(&online(number)).count(),
                went,
                "{}",
                finished.out
            );
            nodes.assert_online(number);
        }
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn every_combination_goes_and_comes_back_in_the_local_environment(kind: Kind) {
    every_combination(&Nodes::local(kind));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn every_combination_goes_and_comes_back_in_the_cloud_environment(kind: Kind) {
    every_combination(&Nodes::cloud(kind));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_scripts_names_are_the_defaults(kind: Kind) {
    let mut nodes = Nodes::named(
        kind,
        "user",
        ["node1_db", "node2_db", "node3_db"].map(str::to_owned),
    );
    for name in [
        "LOCAL_DB_USER",
        "LOCAL_DB_NAME",
        "LOCAL_DB_NAME_NODE2",
        "LOCAL_DB_NAME_NODE3",
    ] {
        nodes.variables.remove(name);
    }
    let before = nodes.states();
    let mut program = nodes.fail(&["1", "2", "3"]);
    for number in 1..=3 {
        nodes.assert_offline(number);
    }
    program.answer("Y\n");
    program.end().assert_status(0);
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_lines_stand_alone_and_in_order(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut program = nodes.fail(&["2"]);
    program.answer("Y\n");
    let finished = program.end();
    finished
        .assert_status(0)
        .assert_line(&offline(2))
        .assert_line(&online(2));
    let expected = format!(
        "local environment: node 2 (127.0.0.1:{}), from .env\n{}\n{}\n{}\nnode 2: offline for ",
        nodes.port(2),
        offline(2),
        crate::harness::PROMPT,
        online(2),
    );
    assert!(finished.out.starts_with(&expected), "{}", finished.out);
    assert!(
        finished.out.contains("s, 0 sessions ended"),
        "{}",
        finished.out
    );
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_account_that_is_named_is_failed_whatever_stands_around_it(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut command = nodes.command(&["1"]);
    let own = std::fs::read_to_string(nodes.folder.path().join(".env")).unwrap();
    // What some readers take for quotes that hold all that is between them.
    let around = format!(
        "TITLE=Bob's\nA=1  # it's\nB=2    # \"\n{own}MOTD=don't\nC=3  # isn't\nD=4    # \"\n"
    );
    nodes.folder.write(".env", around);
    let mut program = Program::start(&mut command);
    program.wait_for(crate::harness::PROMPT);
    nodes.assert_offline(1);
    program.answer("Y\n");
    program.end().assert_status(0);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn nodes_that_are_named_twice_are_failed_once(kind: Kind) {
    let nodes = Nodes::local(kind);
    let finished = nodes.run(&["3", "1", "3", "1"], "Y\n");
    finished.assert_status(0);
    assert_eq!(
        finished.out.matches("OFFLINE").count(),
        2,
        "{}",
        finished.out
    );
    let head = finished.out.lines().next().unwrap();
    assert!(
        head.find("node 3").unwrap() < head.find("node 1").unwrap(),
        "the order is kept: {head}"
    );
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_password_of_the_account_proves_by_login(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let name = format!("{}_DB_PASSWORD", nodes.prefix());
        nodes.set(&name, "rootpass");
        let before = nodes.states();
        let finished = nodes.run(&["1", "2", "3"], "Y\n");
        finished.assert_status(0);
        assert_eq!(finished.err, "");
        assert_eq!(nodes.states(), before);

        nodes.set(&name, "wrong-password");
        let finished = nodes.run(&["1", "--json"], "Y\n");
        finished
            .assert_status(0)
            .assert_kinds(&["login_not_tried"])
            .assert_says(&name);
        assert!(!finished.err.contains("wrong-password"), "{}", finished.err);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_method_may_be_chosen(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut program = nodes.fail(&["1", "--method", "revoke"]);
    // Only the undo has it still.
    assert_eq!(
        nodes.state(1).matches("GRANT ALL").count(),
        1,
        "{}",
        nodes.state(1)
    );
    program.answer("Y\n");
    program.end().assert_status(0);

    let nodes = Nodes::cloud(kind);
    let mut program = nodes.fail(&["1", "--method", "lock"]);
    assert!(
        nodes.state(1).contains("ACCOUNT LOCK"),
        "{}",
        nodes.state(1)
    );
    program.answer("Y\n");
    program.end().assert_status(0);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_summary_says_what_the_application_met(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let name = format!("{}_DB_PASSWORD", nodes.prefix());
        nodes.set(&name, "rootpass");
        let _open = [
            nodes.log_in(1).unwrap(),
            nodes.log_in(2).unwrap(),
            nodes.log_in(2).unwrap(),
        ];
        let mut program = nodes.fail(&["1", "2", "3"]);
        for _ in 0..5 {
            nodes.assert_offline(1);
        }
        nodes.assert_offline(2);
        program.answer("Y\n");
        let finished = program.end();
        finished.assert_status(0);
        let counts = [
            (1, "1 session ended", ", 5 logins or statements refused"),
            (2, "2 sessions ended", ", 1 login or statement refused"),
            (3, "0 sessions ended", ", 0 logins or statements refused"),
        ];
        for (number, ended, refused) in counts {
            // MariaDB does not count them by account: then nothing is said.
            let refused = if kind == Kind::MySql { refused } else { "" };
            let line = finished
                .out
                .lines()
                .find(|line| line.starts_with(&format!("node {number}: offline for ")))
                .unwrap();
            assert!(line.ends_with(&format!("s, {ended}{refused}")), "{line}");
        }
    }
}

#[test]
fn the_account_really_logs_in_to_prove_both_ends() {
    for mut nodes in Nodes::in_both_environments(Kind::MySql) {
        let name = format!("{}_DB_PASSWORD", nodes.prefix());
        nodes.set(&name, "rootpass");
        let mut admin = nodes.admin(1);
        let user = nodes.user.clone();
        let mut count =
            |question: &str| -> u64 { admin.exec_first(question, (&user,)).unwrap().unwrap_or(0) };
        let welcome = "SELECT TOTAL_CONNECTIONS FROM performance_schema.users WHERE USER = ?";
        let refused = "SELECT SUM(SUM_ERROR_RAISED) FROM performance_schema.events_errors_summary_by_user_by_error \
                       WHERE USER = ? AND ERROR_NUMBER IN (3118, 1044)";
        let mut program = nodes.fail(&["1"]);
        let (in_prepare, refused_then) = (count(welcome), count(refused));
        assert_eq!(refused_then, 1, "before OFFLINE");
        program.answer("Y\n");
        program.end().assert_status(0);
        assert_eq!(
            (count(welcome), count(refused)),
            (in_prepare + 1, 1),
            "before ONLINE"
        );
    }
}
