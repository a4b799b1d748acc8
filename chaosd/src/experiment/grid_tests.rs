//! A probe that looks by a clock that only moves when all wait.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{Event, FAST, Grid, Pace};
use crate::{
    experiment::probe::{Look, Looks, Seen},
    profile::{Address, ProbeKind, ProbeSpec, units::Percent},
};

/// Takes so many milliseconds at each look, the last of them at all others, whoever looks.
#[derive(Clone)]
struct Takes(Vec<u64>, Arc<AtomicUsize>);

impl Looks for Takes {
    fn look(&mut self) -> impl Future<Output = Look> + Send {
        let n = self.1.fetch_add(1, Ordering::Relaxed);
        let ms = self.0.get(n).or(self.0.last()).copied();
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
    looks: JoinHandle<()>,
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
    let looker = Takes(takes.to_vec(), Arc::default());
    let looks = tokio::spawn(grid.run(move || looker.clone()));
    Watched {
        looks,
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
async fn when_faults_are_over_looks_begin_anew_and_often_and_what_was_asked_before_is_still_answered()
 {
    // Late already; in time, though after the faults; and never answered.
    for (takes, change, late, seen) in [
        (400, 170, true, (400, false)),
        (120, 50, false, (120, true)),
        (5000, 50, true, (1000, false)),
    ] {
        let mut watched = watch(&[takes, 0]);
        sleep(ms(change)).await;
        watched.pace.send_replace(Pace::Fast);
        let (mut began, mut fast, mut told) = (Vec::new(), Vec::new(), false);
        while fast.len() < 30 {
            match watched.next().await {
                (0, None, _) => told = true,
                (at, Some(took), ok) if at < change => began.push((at, took, ok)),
                look => fast.push(look),
            }
        }
        let step = u64::try_from(FAST.as_millis()).unwrap_or(0);
        for (n, look) in (0..).zip(&fast) {
            assert_eq!(*look, (change + n * step, Some(0), true));
        }
        assert_eq!(told, late, "{takes}");
        let (took, ok) = seen;
        assert_eq!(began.first(), Some(&(0, took, ok)));
        // Whoever came at 100 ms had to wait as well.
        let waited = (change > 100).then_some((100, took - 100, false));
        assert_eq!(began.get(1), waited.as_ref());
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_end_a_look_that_lags_is_waited_for_until_it_is_known_to_have_failed() {
    for (takes, seen) in [(120, (120, true)), (5000, (150, false))] {
        let mut watched = watch(&[takes, 0]);
        sleep(ms(20)).await;
        watched.pace.send_replace(Pace::Fast);
        assert_eq!(watched.next().await, (20, Some(0), true));
        watched.pace.send_replace(Pace::Over);
        if !seen.1 {
            assert_eq!(watched.next().await, (0, None, false));
        }
        assert_eq!(watched.next().await, (0, Some(seen.0), seen.1));
        watched.looks.await.expect("it panicked");
        assert!(watched.events.try_recv().is_err());
    }
    // One that began after the faults is not: nothing depends on it.
    let mut watched = watch(&[0, 5000]);
    assert_eq!(watched.next().await, (0, Some(0), true));
    watched.pace.send_replace(Pace::Fast);
    sleep(ms(20)).await;
    watched.pace.send_replace(Pace::Over);
    watched.looks.await.expect("it panicked");
    assert!(watched.events.try_recv().is_err());
}
