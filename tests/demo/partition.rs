//! `partition`: nothing passes, in one direction or both, and connections live through it.

use std::time::Duration;

use anyhow::bail;
use support::tcp::Echo;
use support::{Family, udp, wait_until};

use crate::row::{self, Group, Row, Seen};
use crate::scene::{Direction, PORT, SETTLES};
use crate::words;

const DATAGRAMS: u32 = 2_000;
/// How long the connections are cut off: several retransmission timeouts (200 ms at first).
const CUT: Duration = Duration::from_millis(600);
/// The retransmission after that comes by then.
const RESUMES: Duration = Duration::from_secs(4);

pub fn datagrams() -> Group {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        for cut in ["out", "in", "both"] {
            rows.push(Row::new(
                "partition",
                row::name(family),
                cut,
                "all",
                move |scene| {
                    let mut arrived = Vec::new();
                    let (holds, beside) =
                        scene.under(&format!("partition --direction {cut}"), || {
                            let mut holds = true;
                            for direction in Direction::BOTH {
                                let (from, to) = scene.ends(direction);
                                let flow = udp::Flow {
                                    family,
                                    datagrams: DATAGRAMS,
                                    port: PORT,
                                    settle: SETTLES,
                                    ..udp::Flow::default()
                                };
                                let seen = udp::flow(from, to, &flow)?;
                                let passes = cut != "both" && cut != direction.word();
                                let wanted = if passes { u64::from(DATAGRAMS) } else { 0 };
                                holds &= seen.received == wanted && seen.send_errors == 0;
                                arrived.push(seen.received);
                            }
                            Ok(holds)
                        })?;
                    let [out, into] = arrived[..] else {
                        bail!("one direction was not measured")
                    };
                    Ok(Seen {
                        measured: format!(
                            "out {}, in {}",
                            words::grouped(out),
                            words::grouped(into)
                        ),
                        off: "exact".to_owned(),
                        holds,
                        beside,
                    })
                },
            ));
        }
    }
    Group {
        title: "UDP: datagrams that arrived, of 2,000 each way",
        rows,
    }
}

pub fn connections() -> Group {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        rows.push(Row::new(
            "partition",
            row::name(family),
            "both",
            "all",
            move |scene| {
                let echo = Echo::start(scene.target(), scene.peer(), family, PORT)?;
                if !wait_until(RESUMES, || echo.round_trips() >= 10) {
                    bail!("no connection to the peer");
                }
                let (during, beside) = scene.under("partition", || {
                    // What was under way when it was armed.
                    std::thread::sleep(Duration::from_millis(20));
                    let before = echo.round_trips();
                    std::thread::sleep(CUT);
                    Ok(echo.round_trips() - before)
                })?;
                let before = echo.round_trips();
                let resumed = wait_until(RESUMES, || echo.round_trips() > before + 10);
                let report = echo.stop();
                Ok(Seen {
                    measured: format!(
                        "{during} passed, then {}",
                        if resumed { "resumed" } else { "dead" }
                    ),
                    off: format!("{} anew", report.reconnects),
                    holds: during == 0
                        && resumed
                        && report.reconnects == 0
                        && report.lost_bytes == 0,
                    beside,
                })
            },
        ));
    }
    Group {
        title: "TCP: messages over a connection that exists, and the connection afterwards",
        rows,
    }
}
