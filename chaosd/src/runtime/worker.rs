//! The thread that asks runtimes, and keeps the connections to them: its callers may be plain threads or
//! run on a runtime of their own.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    Asked, Member, Places, RuntimeError, Watch,
    hub::Hub,
    process,
    resolve::Answer,
    watch::{Bell, listen},
};

/// Asks runtimes. Dropped, it ends its thread.
#[derive(Debug)]
pub struct Runtimes {
    jobs: Result<UnboundedSender<Job>, io::ErrorKind>,
}

#[derive(Debug)]
enum Job {
    Find {
        asked: Asked,
        only: Option<String>,
        within: Duration,
        reply: Sender<Answer>,
    },
    /// Rings when a runtime says that something changed, until nobody hears it.
    Listen {
        asked: Asked,
        only: Option<String>,
        bell: Bell,
    },
}

impl Runtimes {
    /// Starts the thread, which opens connections when they are needed.
    pub fn new(places: Places) -> Self {
        let (jobs, queue) = unbounded_channel();
        let spawned = thread::Builder::new()
            .name("runtimes".to_owned())
            .spawn(move || run(places, queue));
        Self {
            jobs: spawned.map(|_| jobs).map_err(|error| error.kind()),
        }
    }

    /// See [`super::find`].
    ///
    /// # Errors
    /// See [`RuntimeError`].
    pub fn find(&self, asked: &Asked, only: Option<&str>, within: Duration) -> Answer {
        let mut members = self.ask(asked, only, within)?;
        members.iter_mut().for_each(Member::make_printable);
        Ok(members)
    }

    fn ask(&self, asked: &Asked, only: Option<&str>, within: Duration) -> Answer {
        // /proc is asked without delay.
        if let (Asked::Process { name, args }, None) = (asked, only) {
            return process::find(name, args.as_deref());
        }
        let (reply, answer) = channel();
        self.send(Job::Find {
            asked: asked.clone(),
            only: only.map(ToOwned::to_owned),
            within,
            reply,
        })?;
        answer
            .recv()
            .map_err(|_| RuntimeError::Thread(io::ErrorKind::BrokenPipe.into()))?
    }

    /// Watches for changes of what `asked` names, of which `members` are there now.
    ///
    /// # Errors
    /// [`RuntimeError::Watch`] when the kernel has no more inotify instances to give, and
    /// [`RuntimeError::Cgroup`] without a unified hierarchy.
    pub fn watch(
        &self,
        asked: &Asked,
        only: Option<&str>,
        members: &[Member],
    ) -> Result<Watch, RuntimeError> {
        let (watch, bell) = Watch::new(asked, members)?;
        if !matches!(asked, Asked::Process { .. }) {
            self.send(Job::Listen {
                asked: asked.clone(),
                only: only.map(ToOwned::to_owned),
                bell,
            })?;
        }
        Ok(watch)
    }

    fn send(&self, job: Job) -> Result<(), RuntimeError> {
        let jobs = self
            .jobs
            .as_ref()
            .map_err(|kind| RuntimeError::Thread((*kind).into()))?;
        jobs.send(job)
            .map_err(|_| RuntimeError::Thread(io::ErrorKind::BrokenPipe.into()))
    }
}

fn run(places: Places, mut queue: UnboundedReceiver<Job>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    // Whoever waits hears that the thread is gone.
    let Ok(runtime) = runtime else { return };
    let hub = Arc::new(Hub::new(places));
    runtime.block_on(async {
        while let Some(job) = queue.recv().await {
            let hub = hub.clone();
            match job {
                Job::Find {
                    asked,
                    only,
                    within,
                    reply,
                } => drop(tokio::spawn(async move {
                    let answer = hub.find(&asked, only.as_deref(), within).await;
                    // Who asked may have given up.
                    drop(reply.send(answer));
                })),
                Job::Listen { asked, only, bell } => {
                    drop(tokio::spawn(listen(hub, asked, only, bell)));
                }
            }
        }
    });
}
