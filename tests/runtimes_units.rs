//! Names of units are resolved with a real systemd, where it is process 1 of a guest.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use chaosd::profile::Pattern;
use chaosd::runtime::{Asked, Places, RuntimeError, Runtimes};
use support::{is_laboratory, run, skip};

use crate::runtimes::{follow, is_in_place, only, takes_at_most};

const WITHIN: Duration = Duration::from_mins(1);

/// A service of a test's own. Dropped, it is stopped.
struct Service(&'static str);

impl Service {
    fn start(name: &'static str) -> Result<Self> {
        let unit = format!("--unit={name}");
        let sleep = ["--slice=shop.slice", "/bin/sleep", "36000"];
        // It is started again more often than systemd takes for sane.
        let options = ["--quiet", "--property=StartLimitIntervalSec=0", &unit];
        run("systemd-run", &[&options[..], &sleep].concat())?;
        Ok(Self(name))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        run("systemctl", &["stop", self.0]).ok();
    }
}

fn unit(name: &str) -> Asked {
    Asked::Unit(Pattern::new(name))
}

#[test]
fn units_are_found_and_followed() -> Result<()> {
    if !is_laboratory() || !Path::new("/run/systemd/system").exists() {
        skip!(
            Ok(()),
            "units start in a guest whose process 1 is systemd alone"
        );
    }
    let service = Service::start("shop-units-test.service")?;
    let runtimes = Runtimes::new(Places::of_this_host());
    let asked = unit("shop-units-test");
    let before = only(&runtimes, &asked)?;
    is_in_place(&before)?;
    assert_eq!(before.label, "unit shop-units-test.service");
    let slice = only(&runtimes, &unit("shop.slice"))?;
    assert!(
        before.cgroups[0].starts_with(&slice.cgroups[0]),
        "{slice:?}"
    );
    takes_at_most(Duration::from_millis(50), "systemd: a unit", || {
        only(&runtimes, &asked).map(drop)
    })?;

    let mut watch = runtimes.watch(&asked, None, std::slice::from_ref(&before))?;
    let mut now = before;
    for _ in 0..10 {
        run("systemctl", &["restart", service.0])?;
        let began = Instant::now();
        now = follow(&mut watch, &runtimes, &asked, &now)?;
        println!("systemd: a restart is told {:?} after it", began.elapsed());
        is_in_place(&now)?;
    }

    for (name, expected) in [
        (
            "shop-units-tset",
            "there is no unit shop-units-tset.service; did you mean",
        ),
        ("basic.target", "unit basic.target has no processes"),
    ] {
        let error = runtimes.find(&unit(name), None, WITHIN);
        let error = error.expect_err("a mistake was found").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    drop(service);
    let error = runtimes.find(&asked, None, WITHIN);
    let error = error.expect_err("a unit that was stopped was found");
    // A unit of systemd-run is forgotten when it ends.
    assert!(
        matches!(
            error,
            RuntimeError::NoUnit { .. } | RuntimeError::UnitNotActive { .. }
        ),
        "{error}"
    );
    Ok(())
}
