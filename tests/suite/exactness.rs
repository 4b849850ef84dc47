//! A node comes back exactly as it was, whatever its names, rows and grants are.

use mysql::prelude::Queryable;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use test_case::test_case;

use crate::harness::{Kind, Nodes, Program, Server, login, offline, online, quoted, wait_until};

fn out_and_back(nodes: &Nodes, args: &[&str]) {
    let before = nodes.states();
    let mut program = nodes.fail(args);
    nodes.assert_offline(1);
    program.answer("Y\n");
    program
        .end()
        .assert_status(0)
        .assert_line(&offline(1))
        .assert_line(&online(1));
    assert_eq!(nodes.states(), before);
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn names_full_of_quotes_are_names(kind: Kind) {
    let odd = [
        ("a'b", "c'd"),
        ("a`b", "c`d"),
        ("a\"b\\c", "c\"d\\e"),
        ("a#b $c", "d#e $f"),
        ("%", "db_%"),
        ("a TO `b`@`c", "x` ON y.* TO z"),
        ("--", "/* */;"),
        ("naïve 名", "naïve 名"),
    ];
    for (user, database) in odd {
        let databases = [1, 2, 3].map(|number| format!("{database}{number}"));
        let mut nodes = Nodes::named(kind, user, databases);
        nodes.set("LOCAL_DB_PASSWORD", "rootpass");
        out_and_back(&nodes, &["1", "2", "3"]);
        out_and_back(&nodes, &["1", "--method", "revoke"]);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn any_name_that_can_be_created_can_be_failed_and_comes_back(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let mut admin = nodes.admin(1);
    let own = (nodes.user.clone(), nodes.databases[0].clone());
    // As long as a server takes them, and what it takes in a name.
    let names = (
        "[\\x01-\\u{d7ff}]{1,32}|[ -~]{1,32}",
        "[\\x01-\\u{d7ff}]{1,64}|[ -~]{1,64}",
    );
    let mut runner = TestRunner::default();
    let mut failed = 0;
    for _ in 0..40 {
        let (user, database) = names.new_tree(&mut runner).unwrap().current();
        // The server leaves out spaces around an account's name, of whatever kind.
        let user = user.trim().to_owned();
        if user.is_empty() {
            continue; // An account without a name would be everybody's.
        }
        (nodes.user, nodes.databases[0]) = (user.clone(), database.clone());
        let (account, name) = (nodes.account(), quoted(&database));
        let pattern = name
            .replace('\\', "\\\\")
            .replace('_', "\\_")
            .replace('%', "\\%");
        let make = [
            format!("CREATE DATABASE {name}"),
            format!("CREATE USER {account} IDENTIFIED BY 'rootpass'"),
            format!("GRANT ALL PRIVILEGES ON {pattern}.* TO {account}"),
        ];
        let package = [
            format!("USE {name}"),
            "SET sql_mode = ORACLE".to_owned(),
            "CREATE PACKAGE pk AS FUNCTION a RETURN INT; END".to_owned(),
            format!("GRANT EXECUTE ON PACKAGE {name}.pk TO {account}"),
            "SET sql_mode = DEFAULT".to_owned(),
        ];
        let has_packages = kind == Kind::MariaDb;
        let package = package.iter().filter(|_| has_packages);
        if make
            .iter()
            .chain(package)
            .all(|statement| admin.query_drop(statement).is_ok())
        {
            let before = nodes.state(1);
            for method in ["lock", "revoke"] {
                let mut command = nodes.command(&["1", "--method", method]);
                // Past .env, which has rules of its own for what a value holds.
                command
                    .env("LOCAL_DB_USER", &user)
                    .env("LOCAL_DB_NAME", &database);
                let mut program = Program::start(&mut command);
                program.answer("Y\n");
                let finished = program.finish();
                assert_eq!(finished.status, 0, "{user:?} {database:?}: {finished:?}");
                finished.assert_line(&offline(1)).assert_line(&online(1));
                assert_eq!(nodes.state(1), before, "{user:?} {database:?}");
            }
            failed += 1;
        }
        for statement in [
            format!("DROP DATABASE {name}"),
            format!("DROP USER {account}"),
        ] {
            let _ = admin.query_drop(statement);
        }
    }
    (nodes.user, nodes.databases[0]) = own;
    assert!(failed >= 10, "only {failed} names could be created");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_password_full_of_quotes_is_a_password(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let password = "a'b\"c`d\\e#f $g $$ é";
        let admin_name = format!("a{}", nodes.user);
        let mut admin = nodes.admin(1);
        let literal = format!("'{}'", password.replace('\\', "\\\\").replace('\'', "''"));
        admin
            .query_drop(format!(
                "ALTER USER {} IDENTIFIED BY {literal}",
                nodes.account()
            ))
            .unwrap();
        admin
            .query_drop(format!(
                "CREATE USER `{admin_name}` IDENTIFIED BY {literal}"
            ))
            .unwrap();
        admin
            .query_drop(format!(
                "GRANT ALL ON *.* TO `{admin_name}` WITH GRANT OPTION"
            ))
            .unwrap();
        nodes.password = password.into();
        let prefix = nodes.prefix();
        nodes.set(&format!("{prefix}_DB_PASSWORD"), password);
        nodes.set(&format!("TESTER_{prefix}_DB_USER"), &admin_name);
        nodes.set(&format!("TESTER_{prefix}_DB_PASSWORD"), password);
        out_and_back(&nodes, &["1"]);
        admin
            .query_drop(format!("DROP USER `{admin_name}`"))
            .unwrap();
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn only_the_rows_that_were_open_are_opened_again(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut admin = nodes.admin(1);
    let user = quoted(&nodes.user);
    for host in ["10.%", "localhost", "127.0.0.1"] {
        admin
            .query_drop(format!(
                "CREATE USER {user}@'{host}' IDENTIFIED BY 'rootpass'"
            ))
            .unwrap();
        admin
            .query_drop(format!(
                "GRANT ALL ON `{}`.* TO {user}@'{host}'",
                nodes.databases[0]
            ))
            .unwrap();
    }
    admin
        .query_drop(format!("ALTER USER {user}@'10.%' ACCOUNT LOCK"))
        .unwrap();
    out_and_back(&nodes, &["1"]);
    assert_eq!(
        nodes.state(1).matches("ACCOUNT LOCK").count(),
        1,
        "{}",
        nodes.state(1)
    );
    out_and_back(&nodes, &["1", "--method", "revoke"]);
}

/// The rows are read before the undo is looked for, and another way back may end in between.
#[test]
fn who_comes_while_a_node_comes_back_takes_it_for_none_that_somebody_locked() {
    let server = Server::start(Kind::MariaDb, &[]);
    let mut nodes = Nodes::local(Kind::MariaDb);
    nodes.move_to(1, &server);
    let mut admin = nodes.admin(1);
    let row = format!("{}@'10.%'", quoted(&nodes.user));
    admin
        .query_drop(format!("CREATE USER {row} ACCOUNT LOCK"))
        .unwrap();
    let before = nodes.state(1);
    for args in [&["status", "1"][..], &["recover", "1"], &["1", "--dry-run"]] {
        nodes.fail(&["1"]).kill();
        let mut holder = nodes.admin(1);
        holder.query_drop("LOCK TABLES mysql.event WRITE").unwrap();
        let mut program = nodes.start(args);
        wait_until("it asks for the undo", || {
            let waits = "SELECT ID FROM information_schema.processlist WHERE STATE LIKE 'Waiting for table%'";
            admin.query_first::<u64, _>(waits).unwrap()
        });
        let unlock = format!("ALTER USER {} ACCOUNT UNLOCK", nodes.account());
        admin.query_drop(unlock).unwrap();
        holder
            .query_drop("DELETE FROM mysql.event; UNLOCK TABLES")
            .unwrap();
        let finished = program.end();
        finished.assert_status(0);
        assert!(!finished.err.contains("warning"), "{finished:?}");
        assert_eq!(nodes.state(1), before, "{args:?}");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_account_that_is_locked_already_is_left_alone(kind: Kind) {
    let nodes = Nodes::local(kind);
    nodes
        .admin(1)
        .query_drop(format!("ALTER USER {} ACCOUNT LOCK", nodes.account()))
        .unwrap();
    let before = nodes.states();
    let finished = nodes.run(&["1", "2", "--json"], "Y\n");
    finished
        .assert_status(1)
        .assert_kinds(&["already_locked"])
        .assert_says("`fail-start recover 1` unlocks it");
    assert_eq!(nodes.states(), before);
    nodes
        .run(&["recover", "1"], "")
        .assert_status(0)
        .assert_line(&online(1));
    nodes.assert_online(1);
    nodes.run(&["1"], "Y\n").assert_status(0);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn exactly_the_grants_that_were_there_come_back(kind: Kind) {
    let nodes = Nodes::cloud(kind);
    let mut admin = nodes.admin(1);
    let (account, database) = (nodes.account(), nodes.databases[0].clone());
    let escaped = database.replace('_', "\\_");
    admin
        .query_drop(format!(
            "CREATE TABLE `{database}`.u (a INT, b INT); CREATE PROCEDURE `{database}`.p() SELECT 1; \
             CREATE FUNCTION `{database}`.f() RETURNS INT DETERMINISTIC RETURN 1; CREATE DATABASE `{database}_2`"
        ))
        .unwrap();
    let variants: [&[String]; 5] = [
        &[format!(
            "GRANT SELECT, INSERT ON `{database}`.* TO {account}"
        )],
        &[format!(
            "GRANT SELECT, INSERT ON `{escaped}`.* TO {account}"
        )],
        &[format!(
            "GRANT ALL PRIVILEGES ON `{escaped}`.* TO {account} WITH GRANT OPTION"
        )],
        &[
            format!("GRANT INSERT, SELECT ON `{database}`.t TO {account}"),
            format!(
                "GRANT SELECT (b, a), UPDATE (a), INSERT ON `{database}`.u TO {account} WITH GRANT OPTION"
            ),
            format!("GRANT EXECUTE ON PROCEDURE `{database}`.p TO {account}"),
            format!("GRANT EXECUTE, ALTER ROUTINE ON FUNCTION `{database}`.f TO {account}"),
        ],
        &[
            format!("GRANT ALL PRIVILEGES ON `{database}`.* TO {account}"),
            format!("GRANT ALL PRIVILEGES ON `{escaped}`.* TO {account}"),
            format!("GRANT SELECT, INSERT ON `{database}_2`.* TO {account}"),
            format!("GRANT PROCESS ON *.* TO {account}"),
        ],
    ];
    for grants in variants {
        admin
            .query_drop(format!(
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}"
            ))
            .unwrap();
        for grant in grants {
            admin
                .query_drop(grant)
                .unwrap_or_else(|error| panic!("{grant}: {error}"));
        }
        out_and_back(&nodes, &["1"]);
    }
    admin
        .query_drop(format!("DROP DATABASE `{database}_2`"))
        .unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_account_that_holds_nothing_is_left_alone(kind: Kind) {
    let nodes = Nodes::cloud(kind);
    let before = nodes.state(1);
    nodes
        .admin(1)
        .query_drop(format!(
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM {}",
            nodes.account()
        ))
        .unwrap();
    let without = nodes.states();
    let finished = nodes.run(&["1", "2", "--json"], "Y\n");
    finished
        .assert_status(1)
        .assert_kinds(&["nothing_to_revoke"])
        .assert_says("`fail-start recover 1` grants it ALL PRIVILEGES");
    assert_eq!(nodes.states(), without);
    nodes
        .run(&["recover", "1"], "")
        .assert_status(0)
        .assert_line(&online(1));
    assert_eq!(
        nodes.state(1).replace("\\\\_", "_").replace("\\_", "_"),
        before
    );
}

#[test]
fn nothing_deprecated_runs_on_mysql() {
    let mut nodes = Nodes::local(Kind::MySql);
    let name = format!("dep{}", nodes.user);
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!(
            "CREATE USER `{name}` IDENTIFIED BY 'p'; GRANT ALL ON *.* TO `{name}` WITH GRANT OPTION"
        ))
        .unwrap();
    // The server counts the warnings of each user name: 1287 and 1681 are those of what is
    // deprecated.
    let mut deprecated = || -> u64 {
        let count = "SELECT SUM(SUM_ERROR_RAISED) FROM performance_schema.events_errors_summary_by_user_by_error \
                     WHERE USER = ? AND ERROR_NUMBER IN (1287, 1681)";
        admin.exec_first(count, (&name,)).unwrap().unwrap()
    };
    login(nodes.port(1), &name, "p", None)
        .unwrap()
        .query_drop("SHOW PROCESSLIST")
        .unwrap();
    assert_eq!(deprecated(), 1, "it does count them");

    nodes.set("TESTER_LOCAL_DB_USER", &name);
    nodes.set("TESTER_LOCAL_DB_PASSWORD", "p");
    nodes.set("LOCAL_DB_PASSWORD", "rootpass");
    for method in ["lock", "revoke"] {
        let session = nodes.log_in(1).unwrap();
        nodes
            .run(&["1", "--method", method], "Y\n")
            .assert_status(0);
        drop(session);
    }
    assert_eq!(deprecated(), 1, "fail-start adds none");
    admin.query_drop(format!("DROP USER `{name}`")).unwrap();
}
