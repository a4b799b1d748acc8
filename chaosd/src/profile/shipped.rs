//! The profiles that ship inside the binary.

/// A profile that ships.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// What follows `chaosd run`.
    pub name: &'static str,
    /// Its YAML, comments included.
    pub text: &'static str,
}

macro_rules! ship {
    ($($name:literal),* $(,)?) => {
        &[$(Shipped {
            name: $name,
            text: include_str!(concat!("../../../profiles/", $name, ".yaml")),
        }),*]
    };
}

/// All of them, simplest first.
pub fn shipped() -> &'static [Shipped] {
    ship![
        "packet-loss",
        "flaky-network",
        "slow-network",
        "bandwidth-cap",
        "bufferbloat",
        "jittery-wifi",
        "mobile-3g",
        "satellite",
        "zone-latency-matrix",
        "corrupt-wire",
        "partition-zone",
        "half-open-partition",
        "reset-storm",
        "dns-nxdomain",
        "dns-servfail",
        "dns-blackhole",
        "slow-dns",
        "dns-hijack",
        "kill-one",
        "frozen-process",
        "cpu-starved",
        "noisy-neighbour",
        "memory-pressure",
        "slow-disk",
        "flaky-disk",
        "disk-full",
        "out-of-processes",
        "clock-skew",
        "slow-files",
    ]
}
