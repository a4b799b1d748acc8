//! tmp
use chaosd::*;
use std::os::fd::AsFd;
fn main() {
    let t = |n: &str, f: &mut dyn FnMut()| {
        for _ in 0..3 {
            let s = std::time::Instant::now();
            f();
            println!("{n}: {:?}", s.elapsed());
        }
    };
    let own = std::fs::File::open("/proc/self/ns/net").unwrap();
    t("interfaces", &mut || {
        netlink::interfaces(own.as_fd()).unwrap();
    });
    t("flows", &mut || {
        target::protected::flows(own.as_fd()).unwrap();
    });
    t("in_netns", &mut || {
        netlink::in_netns(own.as_fd(), || 1).unwrap();
    });
    t("resolve", &mut || {
        target::resolve(&profile::Target::Host, false).unwrap();
    });
}
