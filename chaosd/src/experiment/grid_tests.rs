//! A probe that looks by a clock that only moves when all wait.

use std::{future::Future, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

use super::{Event, FAST, Grid, Pace};
use crate::{
    experiment::probe::{Look, Looks, Seen},
    profile::{Address, ProbeKind, ProbeSpec, units::Percent},
};

/// Takes so many milliseconds at each look, the last of them at all others.
struct Takes(Vec<u64>, usize);

impl Looks for Takes {
    fn look(&mut self) -> impl Future<Output = Look> + Send {
        let ms = self.0.get(self.1).or(self.0.last()).copied();
        self.1 += 1;
        async move {
            sleep(Duration::from_millis(ms.unwrap_or(0))).await;
            Ok(Seen::Answered)
        }
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Every 100 ms, expected within 150 ms, given up after 1 s.
fn spec() -> ProbeSpec {
    let address = Address {
        host: "a".into(),
        port: 1,
    };
    ProbeSpec {
        name: "tcp".into(),
        kind: ProbeKind::Tcp {
            address,
            within: Some(ms(150)),
        },
        weight: 1.0,
        at_least: Percent::ALL,
        every: ms(100),
        timeout: ms(1000),
    }
}

struct Watched {
    start: Instant,
    pace: watch::Sender<Pace>,
    events: mpsc::UnboundedReceiver<Event>,
}

fn watch(takes: &[u64]) -> Watched {
    let pace = watch::Sender::new(Pace::Own);
    let (sender, events) = mpsc::unbounded_channel();
    let grid = Grid {
        probe: 0,
        spec: spec(),
        pace: pace.subscribe(),
        events: sender,
    };
    let start = Instant::now();
    tokio::spawn(grid.run(Takes(takes.to_vec(), 0)));
    Watched {
        start,
        pace,
        events,
    }
}

impl Watched {
    /// The next event: when its look was due, how long it took (`None`: it is only late), and whether
    /// it was as expected.
    async fn next(&mut self) -> (u64, Option<u64>, bool) {
        let since = |at: Instant| u64::try_from((at - self.start).as_millis()).unwrap_or(u64::MAX);
        match self.events.recv().await {
            Some(Event::Late { at, .. }) => (since(at), None, false),
            Some(Event::Saw { sight, .. }) => {
                let took = u64::try_from(sight.took.as_millis()).unwrap_or(u64::MAX);
                (since(sight.at), Some(took), sight.why.is_none())
            }
            None => panic!("nobody looks any more"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn looks_stay_on_their_grid_whatever_they_take() {
    let mut watched = watch(&[30, 0, 99, 1]);
    for (due, took) in [(0, 30), (100, 0), (200, 99), (300, 1), (400, 1)] {
        assert_eq!(watched.next().await, (due, Some(took), true));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_came_while_a_look_waited_had_to_wait_too() {
    let mut watched = watch(&[380, 10]);
    // It is known to have failed when it is late.
    assert_eq!(watched.next().await, (0, None, false));
    for (due, took, ok) in [
        (0, 380, false),
        (100, 280, false),
        (200, 180, false),
        (300, 80, true),
        (400, 10, true),
    ] {
        assert_eq!(watched.next().await, (due, Some(took), ok));
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_is_given_up_at_its_time_out() {
    let mut watched = watch(&[5000, 10]);
    assert_eq!(watched.next().await, (0, None, false));
    for n in 0..10 {
        let due = n * 100;
        assert_eq!(watched.next().await, (due, Some(1000 - due), false));
    }
    assert_eq!(watched.next().await, (1000, Some(10), true));
}

#[tokio::test(start_paused = true)]
async fn when_faults_are_over_looks_begin_anew_and_often() {
    let mut watched = watch(&[5000, 0]);
    assert_eq!(watched.next().await, (0, None, false));
    sleep(ms(20)).await;
    watched.pace.send_replace(Pace::Fast);
    // It was late already.
    assert_eq!(watched.next().await, (0, Some(170), false));
    let fast = u64::try_from(FAST.as_millis()).unwrap_or(0);
    for n in 0..4 {
        assert_eq!(watched.next().await, (170 + n * fast, Some(0), true));
    }
    // One that was under way, and not late, says nothing about what comes after.
    let mut watched = watch(&[5000, 0]);
    sleep(ms(50)).await;
    watched.pace.send_replace(Pace::Fast);
    assert_eq!(watched.next().await, (50, Some(0), true));
}
