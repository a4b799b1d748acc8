//! A pod of podman's is hit by its name, and nothing beside it; also when it is started again.

use std::time::Duration;

use anyhow::{Result, ensure};
use support::runtime::{Engine, Kind, Network};
use support::{Daemon, Options, Output, Run, skip, wait_until};

use crate::pods_scene::{Line, SENT};

/// podman takes a minute where a processor is computed and others use it too.
const PATIENCE: Duration = Duration::from_mins(3);

struct Scene {
    daemon: Daemon,
    env: [(String, String); 2],
    engine: Engine,
}

impl Scene {
    /// A pod `web` of two containers, and another, `db`.
    fn new() -> Result<Self> {
        let engine = Engine::start(Kind::Podman)?;
        for (pod, names) in [("web", &["web-app", "web-proxy"][..]), ("db", &["store"])] {
            engine.make_pod(pod)?;
            for name in names {
                engine.start_container(name, Network::Pod(pod))?;
            }
        }
        let socket = format!("unix://{}", engine.socket().display());
        let env = [
            ("CONTAINER_HOST".to_owned(), socket),
            ("CHAOSD_ASK_WITHIN".to_owned(), "90s".to_owned()),
        ];
        let options = Options {
            env: env.clone().into(),
            ..Options::default()
        };
        Ok(Self {
            daemon: Daemon::start(&options)?,
            env,
            engine,
        })
    }

    fn line(&self, name: &str) -> Result<Line> {
        Line::new(self.engine.identity(name)?.1)
    }

    /// What a command says that asks podman itself.
    fn plan(&self, flags: &str) -> Result<String> {
        let mut command = self.daemon.command()?;
        command.args(["plan", "inject", "partition"]);
        command.args(flags.split(' ')).envs(self.env.clone());
        let output = command.output()?;
        ensure!(output.status.success(), "{flags}: {output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn refused(&self, flags: &str) -> Result<String> {
        let words = ["inject", "partition"].into_iter().chain(flags.split(' '));
        let Output { status, stderr, .. } = self.daemon.cli(words)?;
        ensure!(status == Some(2), "{flags}: {status:?} {stderr}");
        Ok(stderr)
    }
}

#[test]
fn a_pod_of_podman_is_hit_by_its_name_and_nothing_beside_it() -> Result<()> {
    if let Some(reason) = Kind::Podman.missing() {
        skip!(Ok(()), "{reason}");
    }
    let scene = Scene::new()?;
    let lines = ["web-app", "web-proxy", "store"].map(|name| scene.line(name));
    let [app, proxy, store] = lines;
    let (app, proxy, store) = (app?, proxy?, store?);
    for target in ["--pod web", "--pod-label app=web"] {
        let plan = scene.plan(target)?;
        ensure!(
            plan.contains("pod web (podman ") && !plan.contains("pod db ("),
            "{plan}"
        );
    }
    let words = ["inject", "partition", "--pod", "web", "--for", "1h"];
    let run = Run::start(&scene.daemon, words)?.id().to_owned();
    let all = [app.pass()?, proxy.pass()?, store.pass()?];
    assert_eq!(all, [[0; 2], [0; 2], [SENT; 2]]);

    // Its namespace is another one then.
    drop((app, proxy));
    scene.engine.restart_pod("web")?;
    let app = scene.line("web-app")?;
    let again = || app.is_cut().is_ok_and(|is| is);
    ensure!(wait_until(PATIENCE, again), "{}", scene.daemon.log());
    let told = scene.daemon.cli(["revert", &run, "-o", "json"])?;
    ensure!(told.status == Some(0), "{told:?}");
    assert_eq!([app.pass()?, store.pass()?], [[SENT; 2]; 2]);

    for (typed, nearest) in [
        ("--pod webb", "did you mean web?"),
        ("--pod default/web", "did you mean web?"),
        ("--pod web --runtime crun", "podman, containerd, cri-o"),
    ] {
        let told = scene.refused(typed)?;
        ensure!(told.contains(nearest), "{typed}: {told}");
    }
    let log = scene.daemon.log();
    ensure!(!log.contains("ERROR"), "{log}");
    Ok(())
}
