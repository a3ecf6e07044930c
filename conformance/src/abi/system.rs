//! Two calls to the operating system that the standard library does not offer safely.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

const SIGKILL: i32 = 9;
const STDOUT: i32 = 1;
const STDERR: i32 = 2;

// SAFETY: both signatures are POSIX's; neither touches memory, and any argument is answered by an error code.
unsafe extern "C" {
    safe fn kill(pid: i32, signal: i32) -> i32;
    safe fn dup2(from: i32, to: i32) -> i32;
}

/// Kills every process of the group that the child `leader` started with.
pub(crate) fn kill_group(leader: u32) {
    if let Ok(pid) = i32::try_from(leader)
        && pid > 1
    {
        // an empty group is not an error here: everybody is gone already
        kill(-pid, SIGKILL);
    }
}

/// Keeps the real stdout for messages and sends whatever a library prints to stderr.
///
/// # Errors
/// When the descriptors cannot be duplicated.
pub(crate) fn reserve_stdout() -> io::Result<File> {
    let wire = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    if dup2(STDERR, STDOUT) < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(wire)
}
