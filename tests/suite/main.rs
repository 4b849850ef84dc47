//! The program, run as a user runs it, on real servers that the tests start themselves.

mod cases;
mod comes_back;
mod commands;
mod demoted;
mod drill;
mod endings;
mod exactness;
mod faults;
mod for_programs;
mod grants;
mod guarded;
mod harness;
mod late_logins;
mod lifted;
mod only_those;
mod prompt;
mod proxy;
mod raw;
mod reach;
mod refusals;
mod returns;
mod sessions;
mod shells;
mod unseen;
mod watched;
mod ways_in;
