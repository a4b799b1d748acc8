//! Asks the kernel what its BPF can do. Loads trivial programs that are attached nowhere.

use std::io;

use aya::{
    programs::{ProgramError, ProgramType, SchedClassifier, tc::TcAttachType},
    sys::is_program_supported,
};

/// True when tc programs load.
pub fn tc_programs() -> io::Result<bool> {
    is_program_supported(ProgramType::SchedClassifier).map_err(cause)
}

/// True when programs on a cgroup's sockets load.
pub fn cgroup_programs() -> io::Result<bool> {
    is_program_supported(ProgramType::CgroupSkb).map_err(cause)
}

/// True when the kernel knows tcx (Linux 6.6): asked for the programs on the loopback device.
pub fn tcx() -> io::Result<bool> {
    match SchedClassifier::query_tcx("lo", TcAttachType::Ingress).map_err(cause) {
        Ok(_) => Ok(true),
        // Before 6.6 the attach type is unknown to bpf(2).
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many programs hang at tcx ingress of an interface of the calling thread's namespace.
pub fn programs_at_ingress(interface: &str) -> io::Result<usize> {
    let (_, programs) =
        SchedClassifier::query_tcx(interface, TcAttachType::Ingress).map_err(cause)?;
    Ok(programs.len())
}

/// The system's answer, if the error came from there.
fn cause(error: ProgramError) -> io::Error {
    match error {
        ProgramError::SyscallError(error) => error.io_error,
        ProgramError::IOError(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        assert!(tc_programs().unwrap());
        assert!(cgroup_programs().is_ok());
        assert!(tcx().is_ok());
    }
}
