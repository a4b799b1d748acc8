//! `corrupt`: checksums that fail at the receiver, or applications that read flipped bits.

use support::counters::Counters;
use support::{Family, statistics, tcp, udp};

use crate::loss::{BYTES, NEAR};
use crate::row::{Group, Row, Seen};
use crate::scene::{PORT, SETTLES};
use crate::words;

const DATAGRAMS: u32 = 50_000;

pub fn detected() -> Group {
    let rows = Row::each_way("corrupt", "2 %", |scene, family, direction| {
        let bulk = tcp::Bulk {
            family,
            bytes: BYTES,
            ..tcp::Bulk::default()
        };
        let fault = format!(
            "corrupt --rate 2% --protocol tcp --direction {}",
            direction.word()
        );
        let (from, to) = scene.ends(direction);
        let before = Counters::read(to)?;
        let (seen, beside) = scene.under(&fault, || tcp::bulk(from, to, &bulk))?;
        let refused = Counters::read(to)?.since(&before, "TcpInCsumErrors");
        let off = statistics::sigmas(seen.data_segments, 0.02, refused);
        Ok(Seen {
            measured: words::share(refused, seen.data_segments),
            off: words::sigmas(off),
            // The stream itself stays whole: TCP sends again what it refused.
            holds: off <= NEAR && seen.is_whole(),
            beside,
        })
    });
    Group {
        title: "TCP, GSO and GRO on: segments the receiver refused (InCsumErrors)",
        rows,
    }
}

pub fn undetected() -> Group {
    let rows = Row::each_way("corrupt unseen", "2 %", |scene, family, direction| {
        let flow = udp::Flow {
            family,
            datagrams: DATAGRAMS,
            port: PORT,
            source_port: PORT,
            settle: SETTLES,
            ..udp::Flow::default()
        };
        let fault = format!(
            "corrupt --rate 2% --mode undetected --protocol udp --port {PORT} --direction {}",
            direction.word()
        );
        let counter = match family {
            Family::V4 => "UdpInCsumErrors",
            Family::V6 => "Udp6InCsumErrors",
        };
        let (from, to) = scene.ends(direction);
        let before = Counters::read(to)?;
        let (seen, beside) = scene.under(&fault, || udp::flow(from, to, &flow))?;
        let refused = Counters::read(to)?.since(&before, counter);
        let off = statistics::sigmas(seen.sent, 0.02, seen.corrupted);
        Ok(Seen {
            measured: words::share(seen.corrupted, seen.sent),
            off: words::sigmas(off),
            holds: off <= NEAR && refused == 0 && seen.lost() == 0,
            beside,
        })
    });
    Group {
        title: "UDP: datagrams read with flipped bits, the checksum being right",
        rows,
    }
}
