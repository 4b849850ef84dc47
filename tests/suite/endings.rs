//! What else ends an outage: signals, the end of input. Whatever it is, the nodes come back.

use std::process::Command;

use crate::harness::{Kind, Nodes, PROMPT, Program, offline, on_both_servers, online};

on_both_servers! {
    fn each_signal_brings_the_nodes_back(kind) {
        for nodes in Nodes::in_both_environments(kind) {
            let before = nodes.states();
            for signal in ["INT", "TERM", "HUP"] {
                let mut program = nodes.fail(&["1", "3"]);
                nodes.assert_offline(1);
                program.signal(signal);
                // Its standard input is still open: the read must not swallow the interrupt.
                program.end().assert_status(130).assert_line(&online(1)).assert_line(&online(3));
                assert_eq!(nodes.states(), before, "{signal}");
            }
        }
    }

    fn under_nohup_the_end_of_the_terminal_ends_nothing(kind) {
        let nodes = Nodes::local(kind);
        let program = nodes.command(&[]).get_program().to_owned();
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' HUP; exec \"$0\" 1"]).arg(program).current_dir(nodes.folder.path());
        let mut program = Program::start(&mut shell);
        program.wait_for(PROMPT);
        program.signal("HUP");
        program.answer("N\n");
        program.wait_for_nth(PROMPT, 2);
        nodes.assert_offline(1);
        program.signal("TERM");
        program.end().assert_status(130).assert_line(&online(1));
    }

    fn a_signal_that_comes_twice_at_once_is_one_interrupt(kind) {
        let nodes = Nodes::local(kind);
        let mut program = nodes.fail(&["1"]);
        program.signal("HUP");
        program.signal("HUP");
        program.end().assert_status(130).assert_line(&online(1));
        nodes.assert_online(1);
    }

    fn the_end_of_input_brings_the_nodes_back(kind) {
        for nodes in Nodes::in_both_environments(kind) {
            let before = nodes.states();
            for input in ["", "N\n", "rubbish\n"] {
                let finished = nodes.run(&["2", "3"], input);
                finished.assert_status(1).assert_line(&offline(2)).assert_line(&online(2)).assert_line(&online(3));
                finished.assert_says("nobody can answer").assert_says("hint: ");
                assert_eq!(nodes.states(), before);
            }
        }
    }

    fn closed_standard_streams_do_not_keep_a_node_offline(kind) {
        use std::process::Stdio;
        let nodes = Nodes::local(kind);
        // Standard output is a pipe that nobody reads any more, as after `| head -1`.
        let mut child = nodes.command(&["1"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        drop(child.stderr.take());
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(1));
        nodes.assert_online(1);
    }
}
