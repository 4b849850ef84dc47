//! The question and its answers.

use std::process::Command;

use crate::harness::{Kind, Nodes, PROMPT, Program, offline, on_both_servers, online};

/// Starts the program with these arguments in a pseudo-terminal, with this variable in its environment.
pub fn in_a_terminal(nodes: &Nodes, variable: &str, args: &str) -> Program {
    // This writes the nodes' `.env`; the program itself is started by `script`, which makes the terminal.
    let inner = nodes.command(&[]);
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--flush", "--return", "--command"])
        .arg(format!(
            // Ctrl-C is for the program, not for a shell that waits for it.
            "exec env TERM=xterm {variable} '{}' {args}",
            inner.get_program().to_str().unwrap()
        ))
        .arg("/dev/null")
        .current_dir(nodes.folder.path());
    Program::start(&mut command)
}

on_both_servers! {
    fn y_in_either_case_and_with_spaces_brings_the_nodes_back(kind) {
        let nodes = Nodes::local(kind);
        // The last one without a line end, as `printf Y` gives it.
        for answer in ["Y\n", "y\n", "  y  \n", "\tY\r\n", "Y"] {
            let finished = nodes.run(&["1"], answer);
            finished.assert_status(0).assert_line(&online(1));
            assert_eq!(finished.out.matches(PROMPT).count(), 1, "{answer:?}: {}", finished.out);
        }
    }

    fn n_leaves_the_nodes_offline_and_asks_again(kind) {
        let nodes = Nodes::local(kind);
        let mut program = nodes.fail(&["1"]);
        for (asked, answer) in [(2, "N\n"), (3, " n \n")] {
            program.answer(answer);
            let printed = program.wait_for_nth(PROMPT, asked);
            assert_eq!(printed.matches("stay offline").count(), asked - 1, "{printed}");
            nodes.assert_offline(1);
        }
        program.answer("Y\n");
        program.end().assert_status(0);
        nodes.assert_online(1);
    }

    fn anything_else_is_told_what_is_expected(kind) {
        let nodes = Nodes::local(kind);
        let mut program = nodes.fail(&["1"]);
        let rubbish = ["\n", "yes\n", "Y N\n", "ja\u{7}\n", "\u{fffd}\n"];
        for (already, answer) in rubbish.iter().enumerate() {
            program.answer(answer);
            let printed = program.wait_for_nth(PROMPT, already + 2);
            assert_eq!(printed.matches("Please answer Y").count(), already + 1, "{answer:?}: {printed}");
        }
        nodes.assert_offline(1);
        program.answer("Y\n");
        program.end().assert_status(0);
    }

    fn an_answer_that_never_ends_takes_no_memory(kind) {
        let nodes = Nodes::local(kind);
        let mut program = nodes.fail(&["1"]);
        program.answer(&"Y".repeat(100_000));
        program.answer("\nY\n");
        program.end().assert_status(0);
        nodes.assert_online(1);
    }

    fn the_prompt_works_in_a_real_terminal(kind) {
        let nodes = Nodes::local(kind);
        let mut program = in_a_terminal(&nodes, "", "1");
        program.wait_for(PROMPT);
        nodes.assert_offline(1);
        program.answer("n\n");
        program.wait_for_nth(PROMPT, 2);
        program.answer("y\n");
        let finished = program.end();
        finished.assert_status(0).assert_line(&offline(1)).assert_line(&online(1));
        // The terminal echoes what is typed, so nothing else may begin a new line.
        finished.assert_line(&format!("{PROMPT}y"));
        nodes.assert_online(1);
    }

    fn ctrl_c_in_a_real_terminal_brings_the_node_back(kind) {
        let nodes = Nodes::local(kind);
        let mut program = in_a_terminal(&nodes, "", "1");
        program.wait_for(PROMPT);
        program.answer("\u{3}");
        program.end().assert_status(130).assert_line(&online(1));
        nodes.assert_online(1);
    }

    fn ctrl_c_reaches_a_command_once(kind) {
        let nodes = Nodes::local(kind);
        // A shell makes one of two signals that come while it waits; this counts each.
        let counts = "import signal, time\n\
            signal.signal(signal.SIGINT, lambda *_: print('interrupted once', flush=True))\n\
            print('started', flush=True)\n\
            for _ in range(20): time.sleep(0.05)\n\
            raise SystemExit(4)\n";
        nodes.folder.write("counts.py", counts);
        let mut program = in_a_terminal(&nodes, "", "1 -- /usr/bin/python3 counts.py");
        program.wait_for("started");
        nodes.assert_offline(1);
        program.answer("\u{3}");
        let finished = program.end();
        finished.assert_status(4).assert_line(&online(1));
        assert_eq!(finished.out.matches("interrupted once").count(), 1, "{}", finished.out);
        nodes.assert_online(1);
    }

    fn a_terminal_shows_the_time_that_is_left(kind) {
        let nodes = Nodes::local(kind);
        let mut program = in_a_terminal(&nodes, "", "1 --for 2s");
        program.wait_for("back in 2s");
        program.wait_for("back in 1s");
        let finished = program.end();
        finished.assert_status(0);
        assert!(finished.out.contains(&online(1)), "{}", finished.out);
    }
}

#[test]
fn a_terminal_shows_what_is_waited_for() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.reach_by(1, silent.local_addr().unwrap().port());
    let program = in_a_terminal(&nodes, "", "1 2 --timeout 4s");
    let printed = program.wait_for("): 2s");
    assert!(
        printed.contains("waiting for node 1 (127.0.0.1:"),
        "{printed}"
    );
    assert!(!printed.contains("waiting for node 2"), "{printed}");
    // Only there: elsewhere it would be so many lines.
    let finished = nodes.run(&["1", "2", "--timeout", "2s"], "");
    finished.assert_status(1);
    assert!(!finished.err.contains("waiting for"), "{}", finished.err);
}
