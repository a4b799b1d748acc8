//! Ctrl-C: what we started ends, and then so do we, with our files removed.
//!
//! Invariant: a child is signalled only while it has not been waited for, so that no stranger
//! with the same number is hit.

use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal};

/// How often a child is looked at.
const POLL: Duration = Duration::from_millis(20);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static CHILDREN: Mutex<Vec<Weak<Mutex<Child>>>> = Mutex::new(Vec::new());

/// A child that ends when we are told to, and when this is dropped.
pub struct Supervised {
    child: Arc<Mutex<Child>>,
    name: String,
}

impl Supervised {
    /// Starts the command; it dies with us even if we are killed.
    ///
    /// Only from the main thread: the kernel takes the end of the thread that forks for ours
    /// (`PR_SET_PDEATHSIG`, prctl(2)).
    pub fn start(command: &Command) -> Result<(Self, Pipes)> {
        watch()?;
        check()?;
        let name = command.get_program().to_string_lossy().into_owned();
        let (out, out_writer) = std::io::pipe().context("failed to make a pipe")?;
        let (err, err_writer) = std::io::pipe().context("failed to make a pipe")?;
        let mut bound = Command::new("setpriv");
        bound
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(std::process::Stdio::null())
            .stdout(out_writer)
            .stderr(err_writer);
        if let Some(dir) = command.get_current_dir() {
            bound.current_dir(dir);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => bound.env(name, value),
                None => bound.env_remove(name),
            };
        }
        // A child inherits the mask of the thread that starts it, and is to be one that can be ended. A
        // signal of this moment ends us without ado.
        ending()
            .thread_unblock()
            .context("failed to unblock signals")?;
        let child = bound
            .spawn()
            .with_context(|| format!("failed to start {name}"));
        ending().thread_block().context("failed to block signals")?;
        let child = child?;
        let child = Arc::new(Mutex::new(child));
        let mut children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&child));
        drop(children);
        Ok((Self { child, name }, Pipes { out, err }))
    }

    /// Its end, or none when it has not come within `timeout`.
    pub fn wait(&self, timeout: Duration) -> Result<Option<ExitStatus>> {
        // A time too long to be told has no deadline.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Its end, if it has come.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        self.child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .try_wait()
            .with_context(|| format!("failed to wait for {}", self.name))
    }

    /// Ends it at once.
    pub fn kill(&self) {
        kill(&self.child);
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.kill();
        // It was killed, so this does not last; a failure leaves a zombie until we end.
        drop(self.wait(Duration::from_secs(5)));
    }
}

/// What a child prints.
pub struct Pipes {
    pub out: std::io::PipeReader,
    pub err: std::io::PipeReader,
}

/// Fails once we have been told to end.
pub fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted");
    }
    Ok(())
}

/// Whether we have been told to end.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// The signals that end us.
fn ending() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect()
}

/// From now on a signal that would end us ends our children instead, and we see the flag.
fn watch() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        let signals = ending();
        // Threads inherit the mask.
        result = signals
            .thread_block()
            .context("failed to block the signals that end us");
        std::thread::spawn(move || {
            while signals.wait().is_ok() {
                INTERRUPTED.store(true, Ordering::SeqCst);
                let children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
                children
                    .iter()
                    .filter_map(Weak::upgrade)
                    .for_each(|child| kill(&child));
            }
        });
    });
    result
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // It fails only for a child that was waited for, which has ended.
    drop(child.kill());
}
