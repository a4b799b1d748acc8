//! The thread that starts children.
//!
//! A child dies with the *thread* that started it (`PR_SET_PDEATHSIG`, prctl(2)). This one lives as long as
//! the process, so that a child that anybody asked for dies with the process.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
};

type Start = Box<dyn FnOnce() + Send>;

static STARTER: Mutex<Option<Sender<Start>>> = Mutex::new(None);

/// Starts something on that thread, and returns what came of it. It is not to wait for long: others are
/// started there too.
///
/// # Errors
/// What `start` fails with, or there is no thread to be had.
pub fn on_a_thread_that_lasts<T: Send + 'static>(
    start: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = channel();
    let start: Start = Box::new(move || {
        // Who asked may have gone.
        let _heard = tell.send(start());
    });
    hand_over(start)?;
    told.recv().map_err(|_| gone())?
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts children is gone")
}

fn hand_over(start: Start) -> io::Result<()> {
    let mut starter = STARTER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = &*starter {
        return sender.send(start).map_err(|_| gone());
    }
    let (sender, starts) = channel::<Start>();
    thread::Builder::new()
        .name("chaosd-starter".into())
        .spawn(move || starts.into_iter().for_each(|start| start()))?;
    sender.send(start).map_err(|_| gone())?;
    *starter = Some(sender);
    Ok(())
}
