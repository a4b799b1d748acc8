//! How many descriptors a process may have, and which of them close first when it dies.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// What a daemon wants: each of its planes, and each set of programs that is spare, has some 50.
const WANTED: rlim_t = 8192;

/// Lets this process have as many as its planes take, as far as it is allowed to. systemd allows 1024 at first,
/// for those that use select(2).
pub fn allow_many() -> nix::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(WANTED);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(())
}

/// Descriptors that must close first when the process dies start here: a dying process closes its files in the
/// reverse order of their numbers (`close_files` queues each on the task's work, a stack).
pub(super) fn first_to_close() -> i32 {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    i32::try_from(soft.min(WANTED) / 8 * 7).unwrap_or(0)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_closes_first_is_above_what_planes_take() {
        allow_many().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(soft >= hard.min(WANTED), "{soft} of {hard}");
        let first = rlim_t::try_from(first_to_close()).unwrap();
        assert!(first < soft && first >= soft.min(WANTED) / 2, "{first}");
    }
}
