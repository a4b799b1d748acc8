//! tmp
use chaosd::{
    engine::{Engine, Options},
    instance::{Instance, Kind, StateDir},
    plan::Plan,
    profile,
    report::Ended,
    undo::Real,
};
use std::{sync::Arc, time::Duration};
use support::*;
fn sys() -> Real {
    Real::new(
        |fd, n, a| Ok(chaosd::netlink::delete_link(fd, n, a)?),
        |id, _| Ok(chaosd::bpf::fence(id)?),
    )
}
fn main() {
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|a| a == "watchdog") {
        std::process::exit({
            let _ = chaosd::watchdog::main(args[2..].to_vec(), &sys());
            0
        });
    }
    let which = args[1].to_string_lossy().to_string();
    let lab = Lab::new("smoke").unwrap();
    let state = StateDir::new("/tmp/smoke-state");
    let instance = Instance::claim(&state, Kind::Run).unwrap();
    let e = Engine::start(Options {
        instance,
        system: Arc::new(sys()),
        linger: Duration::from_secs(30),
        warm: true,
    })
    .unwrap();
    let h = e.handle();
    std::thread::sleep(Duration::from_millis(500));
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let y = format!(
        "version: 1\nfor: 60s\ntarget: {{netns: {}}}\nfaults:\n  - {which}\n",
        lab.target().netns()
    );
    let p = match profile::load("x", &y, &profile::Overrides::default()) {
        Ok(p) => p,
        Err(e) => {
            eprintln!("{e}");
            return;
        }
    };
    let plan = Plan::make("x", &p).unwrap();
    println!("{:#?}", plan.faults[0].what);
    for i in 0..3 {
        let t = std::time::Instant::now();
        let r = rt.block_on(h.arm(Plan::make("x", &p).unwrap())).unwrap();
        println!("armed in {:?} ({} ms)", t.elapsed(), r.arm_ms);
        if i < 2 {
            let t = std::time::Instant::now();
            rt.block_on(h.revert(r.id, Ended::Reverted)).unwrap();
            println!("reverted in {:?}", t.elapsed());
        }
    }
    for fam in Family::BOTH {
        for (a, b, n) in [
            (lab.target(), lab.peer(), "out"),
            (lab.peer(), lab.target(), "in"),
        ] {
            let d = udp::flow(
                a,
                b,
                &udp::Flow {
                    family: fam,
                    datagrams: 5_000,
                    port: 7000,
                    ..Default::default()
                },
            )
            .unwrap();
            println!(
                "udp {fam:?} {n}: {d:?} lost {:.3} %",
                d.lost() as f64 * 100.0 / d.sent as f64
            );
            let before = counters::Counters::read(a).unwrap();
            let bb = counters::Counters::read(b).unwrap();
            let t = std::time::Instant::now();
            match tcp::bulk(
                a,
                b,
                &tcp::Bulk {
                    family: fam,
                    bytes: 200_000_000,
                    timeout: Duration::from_secs(4),
                    ..Default::default()
                },
            ) {
                Ok(t2) => println!(
                    "tcp {fam:?} {n}: {t2:?} retrans {:.3} % in {:?}, csum errors {}",
                    t2.retransmits as f64 * 100.0 / t2.data_segments as f64,
                    t.elapsed(),
                    counters::Counters::read(b)
                        .unwrap()
                        .since(&bb, "TcpInCsumErrors")
                ),
                Err(e) => println!("tcp {fam:?} {n}: {e:#}"),
            }
            let _ = before;
        }
    }
    for r in rt.block_on(h.reports()).unwrap().into_iter().take(1) {
        for f in r.faults {
            println!("{f:#?}");
        }
    }
    let t = std::time::Instant::now();
    println!("{:?} in {:?}", e.stop(), t.elapsed());
}
