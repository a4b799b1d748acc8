//! `chaosd hook`: what container runtimes start before a container's first process runs, and when it is gone.
//!
//! Invariant: it answers in time. What may take long (reading, asking) is done in a thread of its own; when
//! that is not done by then, what was asked for is called off, and `chaosd.required` decides.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};

use super::{
    Exit, Global,
    failure::CliError,
    out, runtime,
    syslog::{Severity, syslog},
};
use crate::{
    api::{Client, ClientError, ContainerKey, ContainerRequest},
    hook::{
        Mistake, Moment, PROFILE, Part, REQUIRED, Registration, RequestError, Settled, State,
        StateError, Wishes, request, root, wishes,
    },
    instance::{DEFAULT_STATE_DIR, StateDir},
};

/// The hook takes no longer. Below two seconds, after which `hooks.d` ends it and refuses the container.
const WITHIN: Duration = Duration::from_millis(1500);
/// The daemon arms nothing later than this share of that time, so that its answer is here before we go.
const ARMED_WITHIN: f64 = 0.8;
/// Calling off takes no longer: it is said to the daemon, and not waited for.
const CALL_OFF_WITHIN: Duration = Duration::from_millis(100);
/// Where podman and CRI-O look for hooks.
const DIRECTORY: &str = "/usr/share/containers/oci/hooks.d";
/// Where the copy of this binary is put by default (Filesystem Hierarchy Standard, "/opt").
const PROGRAM: &str = "/opt/chaosd/bin/chaosd";

#[derive(Args, Debug)]
pub(super) struct Hook {
    #[command(subcommand)]
    what: Option<What>,
    /// Decide by then, whatever the daemon does
    #[arg(long, value_name = "TIME", global = true, value_parser = within)]
    within: Option<Duration>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tell podman and CRI-O to start the hook for containers with the annotation chaosd.profile
    Install(Place),
    /// Take that back
    Uninstall(Place),
}

#[derive(Args, Debug)]
struct Place {
    /// The runtime's directory of hooks, such as /etc/containers/oci/hooks.d
    #[arg(long, value_name = "PATH", default_value = DIRECTORY)]
    dir: PathBuf,
    /// Do it in this root directory, with a copy of this binary: /proc/1/root from a container that sees the
    /// machine's processes
    #[arg(long, value_name = "PATH")]
    root: Option<PathBuf>,
    /// Where in that root the copy is
    #[arg(long, value_name = "PATH", default_value = PROGRAM, requires = "root")]
    program: PathBuf,
}

/// Why a container does not get the fault that it asks for.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("{}", lines(.0))]
    Mistakes(Vec<Mistake>),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("annotation chaosd.profile: the fault is not armed: {0}")]
    Daemon(#[from] ClientError),
    #[error(
        "annotation chaosd.profile: the fault is not armed: there was no answer within {}: is the daemon busy? (chaosd status)",
        humantime::format_duration(*.0)
    )]
    Late(Duration),
    #[error(
        "the container's state was not on standard input within {}",
        humantime::format_duration(*.0)
    )]
    Unread(Duration),
    #[error("annotation chaosd.profile: the fault is not armed: {0}")]
    Broken(String),
}

fn lines(mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn within(text: &str) -> Result<Duration, String> {
    let within = humantime::parse_duration(text).map_err(|e| e.to_string())?;
    let most = Duration::from_mins(1);
    if within < Duration::from_millis(10) || within > most {
        return Err("a container's start is held up for 10ms to 1m".to_owned());
    }
    Ok(within)
}

/// How far it has come.
enum News {
    /// The container is known, and what is to come of it if nothing is heard any more.
    Asks {
        key: ContainerKey,
        required: bool,
    },
    Done(Result<(), HookError>),
}

impl Hook {
    pub(super) fn run(self, global: &Global) -> Result<Exit, CliError> {
        match self.what {
            Some(What::Install(place)) => install(&place, self.within, global),
            Some(What::Uninstall(place)) => uninstall(&place),
            None if std::io::stdin().is_terminal() => Err(CliError::Usage(
                "chaosd hook is started by container runtimes, with a container's state on standard input: `chaosd hook install` tells them to".into(),
            )),
            None => Ok(answer(self.within.unwrap_or(WITHIN), global)),
        }
    }
}

/// What a runtime waits for.
fn answer(within: Duration, global: &Global) -> Exit {
    let deadline = Instant::now() + within;
    let (news, heard) = mpsc::channel();
    let client = Client::new(&global.socket());
    let (asking, armed_within) = (client.clone(), within.mul_f64(ARMED_WITHIN));
    let until_ns = crate::clock::now_ns() + u64::try_from(armed_within.as_nanos()).unwrap_or(0);
    let work = move || {
        let done = serve(&asking, until_ns, &news);
        news.send(News::Done(done)).ok();
    };
    if let Err(error) = std::thread::Builder::new().name("hook".into()).spawn(work) {
        return tell(None, &HookError::Broken(error.to_string()));
    }
    let mut asks = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match heard.recv_timeout(left) {
            Ok(News::Asks { key, required }) => asks = Some((key, required)),
            Ok(News::Done(Ok(()))) => return Exit::Done,
            Ok(News::Done(Err(error))) => return tell(asks, &error),
            Err(RecvTimeoutError::Timeout) => {
                let Some((key, _)) = &asks else {
                    return tell(None, &HookError::Unread(within));
                };
                call_off(&client, key);
                return tell(asks, &HookError::Late(within));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return tell(asks, &HookError::Broken("chaosd hook panicked".into()));
            }
        }
    }
}

/// Reads, and asks the daemon.
fn serve(client: &Client, until_ns: u64, news: &Sender<News>) -> Result<(), HookError> {
    let state = State::read(std::io::stdin().lock())?;
    let Some(wishes) = wishes(&state.annotations()?) else {
        return Ok(());
    };
    let key = ContainerKey {
        id: state.id.clone(),
        bundle: Some(state.bundle.clone()).filter(|bundle| !bundle.is_empty()),
    };
    let asks = News::Asks {
        key: key.clone(),
        required: wishes.required && state.moment() == Moment::Begins,
    };
    news.send(asks).ok();
    match state.moment() {
        Moment::Begins => begin(client, &key, state.pid, wishes, until_ns),
        Moment::Ends => end(client, &key),
    }
}

fn begin(
    client: &Client,
    key: &ContainerKey,
    pid: i32,
    wishes: Wishes,
    until_ns: u64,
) -> Result<(), HookError> {
    match &wishes.part {
        Part::Meant => {}
        Part::Sandbox => return Ok(()),
        Part::Other { name, meant } => {
            passed_over(&key.id, name, meant);
            return Ok(());
        }
    }
    if !wishes.mistakes.is_empty() {
        return Err(HookError::Mistakes(wishes.mistakes));
    }
    let request = ContainerRequest {
        pid,
        in_pod: wishes.in_pod,
        run: request(&wishes.wish)?,
        until_ns: Some(until_ns),
    };
    let asked = runtime().map(|runtime| runtime.block_on(client.begin_container(key, &request)));
    match asked {
        Ok(answer) => Ok(answer.map(drop)?),
        Err(error) => Err(HookError::Broken(out::chain(&error))),
    }
}

/// It may be meant as it is, or a typing error, by which the whole pod goes without: nobody here can tell.
fn passed_over(id: &str, name: &str, meant: &str) {
    let told = format!(
        "container {id} ({name}) is passed over: its pod's annotation chaosd.container names `{meant}`"
    );
    syslog(Severity::Notice, &told);
}

/// Without a daemon there is nothing to end.
fn end(client: &Client, key: &ContainerKey) -> Result<(), HookError> {
    let asked = runtime().map(|runtime| runtime.block_on(client.end_container(key)));
    match asked {
        Ok(Err(error)) if error.is_no_daemon() => Ok(()),
        Ok(answer) => Ok(answer.map(drop)?),
        Err(error) => Err(HookError::Broken(out::chain(&error))),
    }
}

/// What is armed all the same from here on is ended by the daemon. It reads this when it can: nobody waits.
fn call_off(client: &Client, key: &ContainerKey) {
    if let Ok(runtime) = runtime() {
        runtime.block_on(async {
            let said = client.end_container(key);
            tokio::time::timeout(CALL_OFF_WITHIN, said).await.ok();
        });
        // A thread that still asks keeps nobody.
        runtime.shutdown_background();
    }
}

/// Says what is wrong and what comes of it, where the runtime's user and where the host's administrator look.
fn tell(asks: Option<(ContainerKey, bool)>, error: &HookError) -> Exit {
    let required = asks.as_ref().is_some_and(|(_, required)| *required);
    let whose = asks.map_or_else(String::new, |(key, _)| format!(" {}", key.id));
    let outcome = if required {
        format!("container{whose} does not start, for it says {REQUIRED}: true")
    } else {
        format!(
            "container{whose} goes on without ({REQUIRED}: \"true\" beside {PROFILE} would keep it from starting)"
        )
    };
    out::error(error);
    out::tell(format_args!("chaosd: {outcome}"));
    let told = format!("{}; {outcome}", out::chain(error));
    syslog(Severity::Warning, &told);
    if required { Exit::Usage } else { Exit::Done }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

impl Place {
    /// Goes into the root that was asked for. Refuses one that no runtime looks into.
    fn enter(&self) -> Result<Option<root::Entered>, CliError> {
        match &self.root {
            Some(root) => Ok(Some(root::Entered::new(root)?)),
            None if root::is_the_machines() => Ok(None),
            None => Err(CliError::Usage(format!(
                "this root directory is not the machine's: no runtime looks for hooks here, and nothing was \
                 changed; --root {} does it on the machine, with a copy of this binary",
                root::MACHINES
            ))),
        }
    }
}

/// What became of a file.
fn say(settled: &Settled, changed: &str, unchanged: &str) {
    match settled {
        Settled::Changed(path) => out::say(format_args!("{changed} {}", path.display())),
        Settled::Unchanged(path) => out::say(format_args!("{} {unchanged}", path.display())),
    }
}

fn install(place: &Place, within: Option<Duration>, global: &Global) -> Result<Exit, CliError> {
    let (wrote, is_there) = ("wrote", "is there already");
    let program = if let Some(mut entered) = place.enter()? {
        let program = absolute(place.program.clone());
        say(&entered.copy(&program)?, wrote, is_there);
        program
    } else {
        let own = std::env::current_exe().and_then(|path| path.canonicalize());
        own.map_err(CliError::OwnPath)?
    };
    let socket = global.socket();
    let default = socket == StateDir::new(Path::new(DEFAULT_STATE_DIR)).socket();
    let registration = Registration {
        program,
        socket: (!default).then(|| absolute(socket)),
        within,
    };
    let dir = absolute(place.dir.clone());
    say(&registration.install(&dir, WITHIN)?, wrote, is_there);
    out::say(format_args!("{:#}", registration.document(WITHIN)));
    out::say(how_to_use(&registration, &dir));
    Ok(Exit::Done)
}

fn uninstall(place: &Place) -> Result<Exit, CliError> {
    let (removed, is_not_there) = ("removed", "is not there");
    let entered = place.enter()?;
    // First what names the other.
    let settled = Registration::uninstall(&absolute(place.dir.clone()))?;
    say(&settled, removed, is_not_there);
    if entered.is_some() {
        let settled = root::remove_copy(&absolute(place.program.clone()))?;
        say(&settled, removed, is_not_there);
    }
    Ok(Exit::Done)
}

/// What each runtime takes.
fn how_to_use(registration: &Registration, dir: &Path) -> String {
    let hook = &registration.document(WITHIN)["hook"];
    let hooks = serde_json::json!({ "createRuntime": [hook], "poststop": [hook] });
    format!(
        "
A container is under the fault from its first packet on, if it has the annotation:

  podman      podman run --annotation chaosd.profile=packet-loss --annotation chaosd.set.rate=30% IMAGE
              (it reads {DIRECTORY} and /etc/containers/oci/hooks.d; others by --hooks-dir {})
  containerd  metadata.annotations of the pod, and in its config.toml, for the runtime:
                pod_annotations = [\"chaosd.*\"]
                base_runtime_spec = \"FILE\", what `ctr oci spec` prints with, as \"hooks\":
                {hooks}
  CRI-O       metadata.annotations of the pod; it reads the same directories (hooks_dir). Not tried
  docker      starts no hooks. chaosd inject --container NAME hits a container that runs, and again when
              it restarts
  crun, runc  \"hooks\" as above in the bundle's config.json, and the annotations

What keeps a container from its fault is said on stderr, which crun shows to nobody without the annotation
run.oci.hooks.stderr=FILE, in the system's log, and in the daemon's.

Others of its annotations: chaosd.set.PARAMETER, chaosd.for, chaosd.seed, chaosd.required: \"true\" (do not
start without the fault), and in a pod chaosd.container: NAME (that one alone). The daemon must run: chaosd serve",
        dir.display()
    )
}
