//! The bytes of iproute2 6.1, as `strace -e write=all tc ...` shows them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::netlink::qdisc::{attributes::find, tests::bytes};

fn chance(percent: f64, correlation: f64) -> Chance {
    Chance {
        probability: probability(percent / 100.0),
        correlation: probability(correlation / 100.0),
    }
}

#[test]
fn a_probability_is_scaled_as_tc_scales_it() {
    assert_eq!(probability(0.02), 0x051e_b852);
    assert_eq!(probability(0.001), 0x0041_8937);
    assert_eq!(probability(0.25), 0x4000_0000);
    assert_eq!(probability(1.0), u32::MAX);
    assert_eq!(probability(7.0), u32::MAX);
    assert_eq!(probability(-1.0), 0);
}

#[test]
fn chances_are_what_tc_sends() {
    // netem limit 100000 delay .. .. 25% loss 2% 30% duplicate 1% 5% corrupt 0.1%
    // reorder 25% 50% gap 5; tc gives the times in ticks, which are zero here.
    let netem = Netem {
        limit: 100_000,
        delay_correlation: probability(0.25),
        loss: Loss::Random(chance(2.0, 30.0)),
        duplicate: chance(1.0, 5.0),
        corrupt: chance(0.1, 0.0),
        reorder: chance(25.0, 50.0),
        gap: 5,
        ..Netem::default()
    };
    let tc = bytes(
        "00 00 00 00 a0 86 01 00 52 b8 1e 05 05 00 00 00 29 5c 8f 02 00 00 00 00
         10 00 01 00 00 00 00 40 cc cc cc 4c cd cc cc 0c
         0c 00 03 00 00 00 00 40 00 00 00 80  0c 00 04 00 37 89 41 00 00 00 00 00",
    );
    assert_eq!(netem.options().unwrap(), tc);
    assert_eq!(netem.differs(&tc), None);
}

#[test]
fn gilbert_and_elliott_and_a_rate_with_cells_are_what_tc_sends() {
    // netem limit 1000 loss gemodel 1% 10% 70% 0.1% ecn rate 10gbit 20 53 5
    let netem = Netem {
        limit: 1000,
        loss: Loss::GilbertElliott {
            p: probability(0.01),
            r: probability(0.1),
            h: u32::MAX - probability(0.7),
            k1: probability(0.001),
        },
        ecn: true,
        rate: Some(Rate {
            bytes_per_second: 1_250_000_000,
            packet_overhead: 20,
            cell_size: 53,
            cell_overhead: 5,
        }),
        ..Netem::default()
    };
    let tc = bytes(
        "00 00 00 00 e8 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
         08 00 07 00 01 00 00 00
         18 00 05 80 14 00 02 00 29 5c 8f 02 9a 99 99 19 cd cc cc 4c 37 89 41 00
         14 00 06 00 80 7c 81 4a 14 00 00 00 35 00 00 00 05 00 00 00",
    );
    assert_eq!(netem.options().unwrap(), tc);
}

#[test]
fn four_states_and_slots_are_what_tc_sends() {
    // netem limit 1000 loss state 1% 2% 3% 4% 5% rate 1mbit slot 800us 1ms packets 16 bytes 9000;
    // tc's arguments come in the order p13 p31 p32 p23 p14.
    let netem = Netem {
        limit: 1000,
        loss: Loss::States {
            p13: probability(0.01),
            p31: probability(0.02),
            p32: probability(0.03),
            p23: probability(0.04),
            p14: probability(0.05),
        },
        rate: Some(Rate {
            bytes_per_second: 125_000,
            ..Rate::default()
        }),
        slot: Some(Slot {
            min_ns: 800_000,
            max_ns: 1_000_000,
            max_packets: 16,
            max_bytes: 9000,
            ..Slot::default()
        }),
        ..Netem::default()
    };
    let tc = bytes(
        "00 00 00 00 e8 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
         2c 00 0c 00 00 35 0c 00 00 00 00 00 40 42 0f 00 00 00 00 00
         10 00 00 00 28 23 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
         1c 00 05 80 18 00 01 00 29 5c 8f 02 52 b8 1e 05 7b 14 ae 07 cd cc cc 0c
         a4 70 3d 0a
         14 00 06 00 48 e8 01 00 00 00 00 00 00 00 00 00 00 00 00 00",
    );
    assert_eq!(netem.options().unwrap(), tc);
}

#[test]
fn times_are_nanoseconds_of_64_bits() {
    let netem = Netem {
        limit: 7,
        delay_ns: 600_000_000_000,
        jitter_ns: u64::MAX,
        distribution: vec![-32_768, 0, 1],
        seed: Some(5),
        ..Netem::default()
    };
    let options = netem.options().unwrap();
    let attributes = &options[24..];
    let long = |kind| {
        let value = find(attributes, kind).unwrap();
        i64::from_ne_bytes(*value.first_chunk().unwrap())
    };
    assert_eq!(long(10), 600_000_000_000);
    assert_eq!(long(11), i64::MAX);
    assert_eq!(long(14), 5);
    assert_eq!(find(attributes, 2), Some(&[0, 128, 0, 0, 1, 0][..]));
}

#[test]
fn a_rate_beyond_32_bits_goes_in_the_wide_attribute() {
    let netem = Netem {
        limit: 7,
        rate: Some(Rate {
            bytes_per_second: 5_000_000_000,
            ..Rate::default()
        }),
        ..Netem::default()
    };
    let options = netem.options().unwrap();
    let wide = find(&options[24..], 8).unwrap();
    assert_eq!(wide, 5_000_000_000u64.to_ne_bytes());
    assert_eq!(word(find(&options[24..], 6).unwrap(), 0), Some(u32::MAX));
}

#[test]
fn reordering_has_a_gap_though_none_was_asked() {
    let netem = Netem {
        limit: 7,
        reorder: chance(25.0, 0.0),
        ..Netem::default()
    };
    assert_eq!(word(&netem.options().unwrap(), 12), Some(1));
}

#[test]
fn tables_that_do_not_fit_one_message_are_refused() {
    let netem = Netem {
        limit: 7,
        distribution: vec![0; TABLE_MAX],
        slot: Some(Slot {
            distribution: vec![0; TABLE_MAX],
            ..Slot::default()
        }),
        ..Netem::default()
    };
    assert_eq!(netem.options(), Err(TooLong));
}
