//! `drop`: datagrams that do not arrive, segments that have to be sent again.

use support::{statistics, tcp, udp};

use crate::row::{Group, Row, Seen};
use crate::scene::{PORT, SETTLES};
use crate::words;

const DATAGRAMS: u32 = 200_000;
/// About 50,000 segments.
pub const BYTES: u64 = 72_000_000;
/// Standard deviations of the binomial distribution.
pub const NEAR: f64 = 3.0;

pub fn udp() -> Group {
    let mut rows = Vec::new();
    for percent in [1_u8, 10, 50] {
        rows.extend(Row::each_way(
            "drop",
            &format!("{percent} %"),
            move |scene, family, direction| {
                let flow = udp::Flow {
                    family,
                    datagrams: DATAGRAMS,
                    port: PORT,
                    source_port: PORT,
                    settle: SETTLES,
                    ..udp::Flow::default()
                };
                let fault = format!(
                    "drop --rate {percent}% --protocol udp --port {PORT} --direction {}",
                    direction.word()
                );
                let (from, to) = scene.ends(direction);
                let (seen, beside) = scene.under(&fault, || udp::flow(from, to, &flow))?;
                let off = statistics::sigmas(seen.sent, f64::from(percent) / 100.0, seen.lost());
                Ok(Seen {
                    measured: words::share(seen.lost(), seen.sent),
                    off: words::sigmas(off),
                    holds: off <= NEAR
                        && seen.sent == u64::from(DATAGRAMS)
                        && seen.corrupted + seen.duplicated == 0,
                    beside,
                })
            },
        ));
    }
    Group {
        title: "UDP: datagrams that did not arrive",
        rows,
    }
}

pub fn tcp() -> Group {
    let rows = Row::each_way("drop", "2 %", |scene, family, direction| {
        let bulk = tcp::Bulk {
            family,
            bytes: BYTES,
            ..tcp::Bulk::default()
        };
        let fault = format!(
            "drop --rate 2% --protocol tcp --direction {}",
            direction.word()
        );
        let (from, to) = scene.ends(direction);
        let (seen, beside) = scene.under(&fault, || tcp::bulk(from, to, &bulk))?;
        let off = statistics::sigmas(seen.data_segments, 0.02, seen.lost());
        Ok(Seen {
            measured: words::share(seen.lost(), seen.data_segments),
            off: words::sigmas(off),
            holds: off <= NEAR && seen.is_whole(),
            beside,
        })
    });
    Group {
        title: "TCP, GSO and GRO on: segments that had to be sent again",
        rows,
    }
}
