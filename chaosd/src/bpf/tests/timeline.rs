//! When a fault acts: windows, ramps, pulses, the run's end, the lease, the fence.

use chaosd_ebpf::{Fault, SEEDED};

use super::{
    BOTH, Bench, HOUR_NS, JIFFY_NS, Lost, Passed, Verdict, Way, any, assert_share, lose_all,
    now_ns, on_a_plane,
    packets::{TCP, UDP, v4},
};
use crate::bpf::fence;

/// What the plane does to packets now, leaving and arriving.
fn now(bench: &Bench) -> [Verdict; 2] {
    BOTH.map(|way| bench.verdict(way, &v4(TCP).bytes(way)))
}

/// A step of the tests' time lines: long beside a test, short beside the machine's uptime.
fn step_ns() -> u64 {
    now_ns() / 32
}

/// Asserts when the fault acts: (half steps since the run began, verdict).
#[track_caller]
fn check_at(bench: &mut Bench, fault: Fault, step: u64, rows: &[(u64, Verdict)]) {
    let n = bench.install(any(), fault);
    for &(halves, expected) in rows {
        bench.began(halves * step / 2);
        assert_eq!(now(bench), [expected; 2], "after {halves} half steps");
    }
    bench.uninstall(n);
}

#[test]
fn a_fault_acts_from_its_beginning_to_its_end() {
    on_a_plane(|bench| {
        let step = step_ns();
        let fault = Fault {
            after_ns: 2 * step,
            until_ns: 5 * step,
            ..lose_all()
        };
        let rows = [
            (1, Passed),
            (3, Passed),
            (5, Lost),
            (9, Lost),
            (11, Passed),
            (30, Passed),
        ];
        check_at(bench, fault, step, &rows);
    });
}

#[test]
fn a_pulse_goes_on_and_off_from_the_fault_s_beginning() {
    on_a_plane(|bench| {
        let step = step_ns();
        let fault = Fault {
            after_ns: 2 * step,
            pulse_on_ns: step,
            pulse_period_ns: 3 * step,
            ..lose_all()
        };
        let expected = |halves: u64| {
            let on = halves > 4 && ((halves - 4) / 2).is_multiple_of(3);
            (halves, if on { Lost } else { Passed })
        };
        let rows: Vec<_> = (0..16).map(|i| expected(i * 2 + 1)).collect();
        check_at(bench, fault, step, &rows);
    });
}

#[test]
fn a_ramp_grows_to_the_full_rate_and_stays_there() {
    const COUNT: usize = 2_000;
    on_a_plane(|bench| {
        // Half of the machine's uptime: the test is a moment of it.
        let ramp_ns = now_ns() / 2;
        let after_ns = ramp_ns / 10;
        let fault = Fault {
            ramp_ns,
            after_ns,
            flags: SEEDED,
            seed: 1,
            ..lose_all()
        };
        let packet = v4(UDP).bytes(Way::Out);
        let mut share_at = |tenths: u64| {
            let n = bench.install(any(), fault);
            bench.began(after_ns + ramp_ns / 10 * tenths);
            let losses = bench.losses(Way::Out, &packet, COUNT);
            bench.uninstall(n);
            losses.into_iter().filter(|lost| *lost).count()
        };
        for (tenths, share) in [(1, 10.0), (5, 50.0), (9, 90.0)] {
            assert_share(share_at(tenths), COUNT, share, 6.0);
        }
        assert_eq!(share_at(11), COUNT);
    });
}

#[test]
fn a_run_acts_from_its_start_to_its_deadline_and_not_while_disarmed() {
    on_a_plane(|bench| {
        bench.install(any(), lose_all());
        let run = bench.run;
        let start = now_ns() - JIFFY_NS;
        for (from, until, expected) in [
            (start, start + HOUR_NS, Lost),
            (start + HOUR_NS, start + 2 * HOUR_NS, Passed),
            (0, start, Passed),
            (0, u64::MAX, Lost),
            (0, 0, Passed),
        ] {
            bench.plane.arm(run, from, until);
            assert_eq!(now(bench), [expected; 2], "from {from} until {until}");
        }
        bench.began(JIFFY_NS);
        assert_eq!(now(bench), [Lost; 2]);
        bench.plane.disarm(run);
        assert_eq!(now(bench), [Passed; 2]);
    });
}

#[test]
fn a_run_that_ends_leaves_the_other_one_armed() {
    on_a_plane(|bench| {
        let first = bench.install(any(), lose_all());
        let second_run = bench.plane.reserve_run().unwrap();
        assert_ne!(second_run, bench.run);
        let fault = Fault {
            run: second_run,
            ..lose_all()
        };
        let second = bench.plane.install(any(), fault, None, &[]).unwrap();
        bench.plane.refresh();
        bench.plane.arm(second_run, 0, now_ns() + HOUR_NS);
        bench.plane.disarm(bench.run);
        assert_eq!(now(bench), [Lost; 2]);
        assert_eq!(bench.count(first, Way::Out).matched, 0);
        assert_eq!(bench.count(second, Way::Out).affected, 1);
        bench.plane.release_run(second_run);
        assert_eq!(now(bench), [Passed; 2]);
    });
}

#[test]
fn nothing_acts_past_the_lease() {
    on_a_plane(|bench| {
        bench.install(any(), lose_all());
        assert_eq!(now(bench), [Lost; 2]);
        let begun = now_ns();
        for (lease, expected) in [
            (begun - 2 * JIFFY_NS, Passed),
            (begun + HOUR_NS, Lost),
            (0, Passed),
            (1, Passed),
            (begun + HOUR_NS, Lost),
        ] {
            bench.plane.lease(lease);
            assert_eq!(now(bench), [expected; 2], "lease {lease}");
        }
    });
}

#[test]
fn a_fenced_plane_stays_without_effect_whatever_the_daemon_writes() {
    on_a_plane(|bench| {
        bench.install(any(), lose_all());
        assert_eq!(now(bench), [Lost; 2]);
        assert!(fence(bench.plane.control_id()).unwrap());
        assert!(bench.plane.is_fenced());
        assert_eq!(now(bench), [Passed; 2]);
        bench.plane.lease(now_ns() + 2 * HOUR_NS);
        bench.began(JIFFY_NS);
        bench.install(any(), lose_all());
        assert_eq!(now(bench), [Passed; 2]);
    });
}

#[test]
fn a_plane_that_is_shut_passes_everything() {
    on_a_plane(|bench| {
        bench.install(any(), lose_all());
        assert_eq!(now(bench), [Lost; 2]);
        bench.plane.shut();
        assert_eq!(now(bench), [Passed; 2]);
    });
}
