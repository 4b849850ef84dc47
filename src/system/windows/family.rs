//! A command and all that it has started, which a job object holds together.

use std::io;
use std::os::windows::io::AsRawHandle;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use shared_child::SharedChild;
use win32job::{ExtendedLimitInfo, Job};

use super::super::Interrupt;

/// The exit status of what was ended by force.
pub const KILLED: i32 = 1;

/// A command that was started, and all that it has started.
pub struct Family {
    command: Arc<SharedChild>,
    /// None once it was ended by force, and where the system makes no job.
    job: Option<Job>,
}

impl Family {
    /// Starts the command. Its end is told, with its id and its exit status.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(
        mut command: Command,
        ended: impl Fn(u32, i32) + Send + 'static,
    ) -> io::Result<Self> {
        let job = Job::create().ok();
        let child = command.spawn()?;
        // It takes the system milliseconds to load it: nothing was started by it yet.
        let job = job.filter(|job| job.assign_process(child.as_raw_handle() as isize).is_ok());
        let command = Arc::new(SharedChild::new(child)?);
        let waited = Arc::clone(&command);
        thread::spawn(move || {
            let status = waited.wait().ok().and_then(|status| status.code());
            ended(waited.id(), status.unwrap_or(1));
        });
        Ok(Self { command, job })
    }

    /// Whether the child of this id is the command, which has ended.
    pub fn has_ended(&mut self, child: u32) -> bool {
        child == self.command.id()
    }

    /// Who has the console is told by the system what is typed there.
    pub fn is_typed_to(&self) -> bool {
        true
    }

    /// There are no signals to pass on.
    pub fn forward(&self, _: Interrupt) -> bool {
        false
    }

    /// Ends all of it by force.
    pub fn kill(&mut self) {
        // First, for the exit status: a job ends what is in it with 0.
        let _ = self.command.kill();
        if let Some(job) = self.job.take() {
            let mut limits = ExtendedLimitInfo::new();
            limits.limit_kill_on_job_close();
            let _ = job.set_extended_limit_info(&limits);
        }
    }

    /// Whether nothing of it is left.
    pub fn is_gone(&self) -> bool {
        let job = self.job.as_ref();
        job.is_none_or(|job| {
            job.query_process_id_list()
                .is_ok_and(|left| left.is_empty())
        })
    }
}
