//! One node's outage, in the order of time: [prepared](prepare), [taken down](take_down),
//! [watched](watch) and brought back; what is left on the node meanwhile, and how it is found
//! again. It knows servers and settings, and of other nodes only those that one lock takes
//! [together](together).

mod beside;
pub mod drain;
pub mod ender;
pub mod gone;
pub mod guard;
pub mod hold;
mod left_open;
pub mod look;
pub mod obstacles;
pub mod plan;
pub mod prepare;
pub mod progress;
pub mod read_only;
pub mod ready;
pub mod recover;
pub mod restore;
pub mod revoke;
pub mod state;
pub mod take_down;
pub mod together;
mod turned_away;
pub mod undo;
pub mod watch;
mod way_back;
pub mod ways_in;
mod window;
