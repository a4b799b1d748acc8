//! The queues that a kernel has, asked by `tc` rather than by chaosd: what a kernel has, chaosd must
//! use.

use std::sync::OnceLock;

use crate::run::run;

static FQ: OnceLock<Option<String>> = OnceLock::new();
static NETEM: OnceLock<Option<String>> = OnceLock::new();

/// Why this kernel cannot hold packets; `None`: it can.
pub fn no_fq() -> Option<&'static str> {
    FQ.get_or_init(|| lacking("fq")).as_deref()
}

/// Why this kernel cannot emulate a network; `None`: it can.
pub fn no_netem() -> Option<&'static str> {
    NETEM.get_or_init(|| lacking("netem")).as_deref()
}

fn lacking(kind: &str) -> Option<String> {
    let netns = format!("chaosd-test-{}-queue-{kind}", std::process::id());
    let tried = run("ip", &["netns", "add", &netns]).and_then(|_| {
        run(
            "tc",
            &["-n", &netns, "qdisc", "add", "dev", "lo", "root", kind],
        )
    });
    if let Err(error) = run("ip", &["netns", "del", &netns]) {
        eprintln!("a namespace is left over: {error:#}");
    }
    tried
        .err()
        .map(|error| format!("this kernel has no {kind} ({error:#})"))
}
