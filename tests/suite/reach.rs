//! How a node can be reached: TLS in its modes, sockets, host names, many nodes at once.

use std::path::Path;
use std::process::Command;

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{
    Kind, Nodes, PROMPT, Program, Server, TempDir, offline, online, servers, suffix,
};

/// Makes an authority and a server's certificate for `localhost` and for no other name.
pub fn certificates() -> TempDir {
    let folder = TempDir::new();
    let openssl = |line: &str| {
        let out = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "openssl {line}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    };
    folder.write("names", "subjectAltName=DNS:localhost\n");
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
    );
    openssl("req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr");
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
    folder
}

/// Every mode against a server with TLS and the certificate, which may insist on TLS.
fn modes(kind: Kind, folder: &Path, server: &Server, insists: bool) {
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, server);
    if insists {
        nodes
            .admin(1)
            .query_drop("SET GLOBAL require_secure_transport = ON")
            .unwrap();
    }
    let ca = folder.join("ca.pem").display().to_string();
    let mut check = |host: &str, mode: &str, ca: Option<&str>, refused: Option<&str>| {
        nodes.set("LOCAL_DB_HOST", host);
        nodes.set("LOCAL_DB_SSL_MODE", mode);
        nodes.set("LOCAL_DB_SSL_CA", ca.unwrap_or_default());
        let finished = nodes.run(&["1"], "Y\n");
        match refused {
            None => {
                finished
                    .assert_status(0)
                    .assert_line(&offline(1))
                    .assert_line(&online(1));
            }
            Some(why) => {
                finished
                    .assert_status(1)
                    .assert_says(why)
                    .assert_says("check LOCAL_DB_SSL_MODE");
            }
        }
    };
    // MariaDB says why from 11.8 on only; which variable to check is said in any case.
    let refusal = match kind {
        Kind::MySql => "require_secure_transport",
        Kind::MariaDb => "error: node 1 (",
    };
    check("localhost", "disabled", None, insists.then_some(refusal));
    check("localhost", "preferred", None, None);
    check("127.0.0.1", "REQUIRED", None, None);
    check("localhost", "verify_ca", Some(&ca), None);
    check("127.0.0.1", "verify_ca", Some(&ca), None);
    check("localhost", "verify_identity", Some(&ca), None);
    // Without the authority, and under a name that the certificate does not have.
    check("localhost", "verify_ca", None, Some("UnknownIssuer"));
    check("localhost", "verify_identity", None, Some("UnknownIssuer"));
    check(
        "127.0.0.1",
        "verify_identity",
        Some(&ca),
        Some("not valid for name \"127.0.0.1\""),
    );
}

#[test]
fn a_server_without_tls_is_taken_as_it_is_unless_tls_is_asked_for() {
    let server = Server::start(Kind::MariaDb, &["--skip-ssl"]);
    let mut nodes = Nodes::local(Kind::MariaDb);
    nodes.move_to(1, &server);
    for mode in ["disabled", "preferred"] {
        nodes.set("LOCAL_DB_SSL_MODE", mode);
        nodes
            .run(&["1"], "Y\n")
            .assert_status(0)
            .assert_line(&online(1));
    }
    for mode in ["required", "verify_ca", "verify_identity"] {
        nodes.set("LOCAL_DB_SSL_MODE", mode);
        let finished = nodes.run(&["1", "--json"], "Y\n");
        finished
            .assert_status(1)
            .assert_kinds(&["tls"])
            .assert_says("the server offers no TLS")
            .assert_says("check LOCAL_DB_SSL_MODE");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn each_tls_mode_does_what_mysql_says(kind: Kind) {
    let folder = certificates();
    let file =
        |option: &str, name: &str| format!("--ssl-{option}={}", folder.path().join(name).display());
    let files = [
        file("ca", "ca.pem"),
        file("cert", "server.pem"),
        file("key", "server.key"),
    ];
    let options: Vec<&str> = files.iter().map(String::as_str).collect();
    let server = Server::start(kind, &options);
    modes(kind, folder.path(), &server, false);
    modes(kind, folder.path(), &server, true);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_server_without_a_modern_cipher_is_told_with_the_mode_to_change(kind: Kind) {
    // As the official builds of MySQL 5.7, which have no ECDHE.
    let folder = certificates();
    let file =
        |option: &str, name: &str| format!("--ssl-{option}={}", folder.path().join(name).display());
    let server = Server::start(
        kind,
        &[
            &file("cert", "server.pem"),
            &file("key", "server.key"),
            "--tls-version=TLSv1.2",
            "--ssl-cipher=DHE-RSA-AES128-GCM-SHA256",
        ],
    );
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    for mode in ["preferred", "required"] {
        nodes.set("LOCAL_DB_SSL_MODE", mode);
        nodes
            .run(&["1", "--json"], "")
            .assert_status(1)
            .assert_kinds(&["tls"])
            .assert_says("the server has none of fail-start's ciphers (ECDHE")
            .assert_says(
                "on a network that you trust, LOCAL_DB_SSL_MODE=disabled goes without TLS",
            );
    }
    nodes.set("LOCAL_DB_SSL_MODE", "disabled");
    nodes
        .run(&["1"], "Y\n")
        .assert_status(0)
        .assert_line(&online(1));
}

#[test]
fn a_server_that_takes_compressed_connections_only_is_told_by_its_variable() {
    let server = Server::start(Kind::MySql, &[]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let mut admin = nodes.admin(1);
    let mut takes = |algorithms: &str| {
        let set = format!("SET GLOBAL protocol_compression_algorithms = '{algorithms}'");
        admin.query_drop(set).unwrap();
    };
    takes("zlib");
    let says = "the server takes compressed connections only: add 'uncompressed' to its variable protocol_compression_algorithms";
    nodes.run(&["1"], "").assert_status(1).assert_says(says);
    let status = nodes.run(&["status", "1"], "");
    assert!(status.assert_status(1).out.contains(says), "{}", status.out);
    takes("zlib,uncompressed");
    nodes
        .run(&["1"], "Y\n")
        .assert_status(0)
        .assert_line(&online(1));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_socket_is_a_host(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    for number in 1..=3 {
        let suffix = suffix(number);
        nodes.set(
            &format!("LOCAL_DB_HOST{suffix}"),
            &servers(kind)[number - 1].socket().display().to_string(),
        );
    }
    // A socket needs neither a port nor encryption.
    nodes.set("LOCAL_DB_PORT", "1");
    nodes.set("LOCAL_DB_SSL_MODE", "required");
    let mut program = nodes.fail(&["1", "2"]);
    nodes.assert_offline(1);
    nodes.assert_offline(2);
    nodes.assert_online(3);
    program.answer("Y\n");
    program
        .end()
        .assert_status(0)
        .assert_line(&online(1))
        .assert_line(&online(2));
    nodes.set("LOCAL_DB_HOST", "/no/such.sock");
    nodes
        .run(&["1", "--json"], "")
        .assert_status(1)
        .assert_kinds(&["nothing_listens"])
        .assert_says("error: node 1 (/no/such.sock)")
        .assert_says("LOCAL_DB_HOST");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn of_a_names_addresses_the_one_that_serves_is_found(kind: Kind) {
    // `localhost` is ::1 first on most systems; the servers listen on 127.0.0.1 only.
    let mut nodes = Nodes::local(kind);
    nodes.set("LOCAL_DB_HOST", "localhost");
    nodes
        .run(&["1"], "Y\n")
        .assert_status(0)
        .assert_line(&online(1));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_ipv6_address_is_a_host(kind: Kind) {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // A machine without IPv6 is told so in words.
        let mut nodes = Nodes::local(kind);
        nodes.set("LOCAL_DB_HOST", "::1");
        let finished = nodes.run(&["1", "--json"], "");
        finished
            .assert_status(1)
            .assert_kinds(&["unreachable"])
            .assert_says("error: node 1 ([::1]:");
        return assert!(!finished.err.contains("os error"), "{}", finished.err);
    }
    let server = Server::start(kind, &["--bind-address=127.0.0.1,::1"]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    for host in ["::1", "[::1]"] {
        nodes.set("LOCAL_DB_HOST", host);
        let finished = nodes.run(&["1"], "Y\n");
        finished.assert_status(0).assert_line(&online(1));
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn sixty_four_nodes_go_together_and_come_back(kind: Kind) {
    // Each is a database of its own on one server, as in the cloud.
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::cloud(kind);
    nodes.move_to(1, &server);
    nodes.variables.retain(|name, _| !name.contains("_NODE"));
    let mut admin = nodes.admin(1);
    let account = nodes.account();
    for number in 2..=64 {
        admin
            .query_drop(format!(
                "CREATE DATABASE node{number}_db; GRANT ALL ON node{number}_db.* TO {account}; \
                 CREATE TABLE node{number}_db.t (id INT)"
            ))
            .unwrap();
        nodes.set(
            &format!("CLOUD_DB_PORT_NODE{number}"),
            &server.port.to_string(),
        );
    }
    let before = nodes.state(1);
    let args: Vec<String> = (1..=64).map(|number| number.to_string()).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut program: Program = nodes.fail(&args);
    assert_eq!(program.wait_for(PROMPT).matches("OFFLINE").count(), 64);
    let held: Option<u64> = admin
        .query_first(format!(
            "SELECT COUNT(*) FROM mysql.db WHERE User = '{}'",
            nodes.user
        ))
        .unwrap();
    assert_eq!(held, Some(0));
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(0);
    assert_eq!(
        finished.out.matches("ONLINE").count(),
        64,
        "{}",
        finished.out
    );
    assert_eq!(nodes.state(1), before);
}
