//! Who is targeted by name: a container of each runtime, a pod, a unit, a process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chaosd::profile::Pattern;
use chaosd::runtime::{Asked, Member, Places, Runtimes};
use serde_json::{Value, json};
use support::runtime::{Engine, Kind, Network, PodSpec, Pods};
use support::{Cgroup, Lab, Member as Process, Options, is_laboratory, run};

/// A runtime's service answers slowly where a processor is computed.
pub const WITHIN: Duration = Duration::from_secs(90);
const UNIT: &str = "chaosd-bench.service";
const NAME: &str = "bench-db";

/// Which kinds there are.
pub const ALL: [&str; 7] = [
    "process",
    "crun",
    "runc",
    "containerd",
    "podman",
    "docker",
    "systemd",
];

/// One that is there, and restarts at will.
pub struct Subject {
    pub name: &'static str,
    pub runtimes: Runtimes,
    what: What,
}

enum What {
    Process(Option<Process>, Cgroup, Lab),
    Container(Engine),
    Pod(Box<Pods>, String, String, u32),
    Unit,
}

impl Subject {
    /// Why it is not here.
    pub fn missing(name: &str) -> Option<String> {
        match name {
            "containerd" => Pods::missing(),
            "systemd" => {
                let is_there = is_laboratory() && Path::new("/run/systemd/system").exists();
                let why = "units start in a guest whose process 1 is systemd (bench --systemd)";
                (!is_there).then(|| why.to_owned())
            }
            _ => kind(name).and_then(Kind::missing),
        }
    }

    pub fn start(name: &'static str) -> Result<Self> {
        let mut places = Places::of_this_host();
        let what = match name {
            "process" => {
                let cgroup = Cgroup::new()?.context("no unified cgroup tree")?;
                let lab = Lab::new("targets")?;
                let process = Process::start(&cgroup, lab.target())?;
                What::Process(Some(process), cgroup, lab)
            }
            "containerd" => {
                let mut pods = Pods::start()?;
                let web = pods.run(PodSpec::new("shop", "web-0"))?;
                let app = pods.start_container(&web, "app", 0)?;
                pods.start_container(&web, "proxy", 0)?;
                places = pods.places();
                What::Pod(Box::new(pods), web, app, 0)
            }
            "systemd" => {
                start_unit()?;
                What::Unit
            }
            _ => {
                let engine = Engine::start(kind(name).context("no such runtime")?)?;
                engine.start_container(NAME, Network::Own)?;
                places = engine.places();
                What::Container(engine)
            }
        };
        Ok(Self {
            name,
            runtimes: Runtimes::new(places),
            what,
        })
    }

    /// A daemon that finds it.
    pub fn options(&self) -> Options<'static> {
        let socket = match &self.what {
            What::Container(engine) => Some(("DOCKER_HOST", engine.socket())),
            What::Pod(pods, ..) => Some(("CONTAINER_RUNTIME_ENDPOINT", pods.socket())),
            What::Process(..) | What::Unit => None,
        };
        let socket = socket.map(|(name, path)| (name.into(), format!("unix://{}", path.display())));
        let patience = ("CHAOSD_ASK_WITHIN".into(), "90s".into());
        Options {
            env: socket.into_iter().chain([patience]).collect(),
            ..Options::default()
        }
    }

    /// As a profile has it.
    pub fn target(&self) -> Value {
        match &self.what {
            What::Process(_, cgroup, _) => {
                json!({"process": {"name": "bash", "args": cgroup.path()}})
            }
            What::Container(_) => json!({ "container": NAME }),
            What::Pod(..) => json!({"container": "shop/web-0/app"}),
            What::Unit => json!({ "unit": UNIT }),
        }
    }

    pub fn asked(&self) -> Asked {
        match &self.what {
            What::Process(_, cgroup, _) => Asked::Process {
                name: Pattern::new("bash"),
                args: Some(cgroup.path().to_owned()),
            },
            What::Container(_) => Asked::Container(NAME.to_owned()),
            What::Pod(..) => Asked::Container("shop/web-0/app".to_owned()),
            What::Unit => Asked::Unit(Pattern::new(UNIT)),
        }
    }

    pub fn member(&self) -> Result<Member> {
        let found = self.runtimes.find(&self.asked(), None, WITHIN)?;
        found.into_iter().next().context("nobody answers")
    }

    pub fn pid(&self) -> Result<i32> {
        self.member()?.pid.context("it does not run")
    }

    /// Ends it and starts it again, as whoever runs such things does.
    pub fn restart(&mut self) -> Result<()> {
        match &mut self.what {
            What::Process(process, cgroup, lab) => {
                if let Some(mut process) = process.take() {
                    process.end()?;
                }
                *process = Some(Process::start(cgroup, lab.target())?);
                Ok(())
            }
            What::Container(engine) => engine.restart(NAME),
            What::Pod(pods, web, app, attempt) => {
                pods.remove_container(app)?;
                *attempt += 1;
                *app = pods.start_container(web, "app", *attempt)?;
                Ok(())
            }
            What::Unit => run("systemctl", &["restart", UNIT]).map(drop),
        }
    }

    /// SIGKILL to whoever runs it; `false`: nobody does.
    pub fn kill_runtime(&mut self) -> Result<bool> {
        match &mut self.what {
            What::Container(engine) if kind(self.name).is_some_and(Kind::has_daemon) => {
                engine.kill_daemon().map(|()| true)
            }
            What::Pod(pods, ..) => pods.kill_daemon().map(|()| true),
            _ => Ok(false),
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if matches!(self.what, What::Unit) {
            run("systemctl", &["stop", UNIT]).ok();
        }
    }
}

fn start_unit() -> Result<()> {
    let unit = format!("--unit={UNIT}");
    // It is started again more often than systemd takes for sane.
    let limit = "--property=StartLimitIntervalSec=0";
    let words = ["--quiet", limit, &unit, "/bin/sleep", "36000"];
    run("systemd-run", &words).map(drop)
}

fn kind(name: &str) -> Option<Kind> {
    match name {
        "crun" => Some(Kind::Crun),
        "runc" => Some(Kind::Runc),
        "podman" => Some(Kind::Podman),
        "docker" => Some(Kind::Docker),
        _ => None,
    }
}
