//! Tries what the kernel has, in a network namespace made for it and gone right after.

use std::{fs::File, io, os::fd::AsFd, os::fd::BorrowedFd, thread};

use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcHandle, TcMessage},
};

use super::{
    NetlinkError,
    detour::{self, Kind, Spec},
    qdisc::{Fq, Netem},
    socket::{Request, RouteSocket},
};

/// A part of the kernel's traffic control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A queueing discipline.
    Qdisc(&'static str),
    /// A classifier.
    Classifier(&'static str),
}

/// Makes a detour and lets it go.
pub fn detour() -> Result<(), NetlinkError> {
    made(&Spec::segment(0)).map(drop)
}

/// Makes a pair with the queue that holds packets, and lets it go. Loads the queue's module if the
/// kernel has one. Returns what kind of pair it came to be.
///
/// # Errors
/// [`NetlinkError::NoQueue`] when the kernel does not have it.
pub fn hold() -> Result<Kind, NetlinkError> {
    made(&Spec::hold(0, Fq::default()))
}

/// The same with the kernel's emulator.
///
/// # Errors
/// As [`hold`].
pub fn netem() -> Result<(), NetlinkError> {
    let netem = Netem {
        limit: 1000,
        delay_ns: 1_000_000,
        ..Netem::default()
    };
    made(&Spec::netem(0, 0, netem)).map(drop)
}

fn made(spec: &Spec) -> Result<Kind, NetlinkError> {
    in_scratch(|netns| detour::create(netns, 0, 0, spec).map(|pair| pair.kind))
}

/// True when the kernel has it, or has a module of it and loaded that.
pub fn has(part: Part) -> Result<bool, NetlinkError> {
    in_scratch(|_| {
        let mut socket = RouteSocket::open_here().map_err(NetlinkError::Open)?;
        match part {
            Part::Qdisc(kind) => known(&mut socket, qdisc(kind)),
            Part::Classifier(kind) => {
                known(&mut socket, qdisc("clsact"))?;
                known(&mut socket, classifier(kind))
            }
        }
    })
}

/// The options are left out, so most kinds answer EINVAL: all that matters is that the kind was
/// found, and an unknown one is ENOENT (`net/sched/sch_api.c`, `net/sched/cls_api.c`).
fn known(socket: &mut RouteSocket, request: Request) -> Result<bool, NetlinkError> {
    match socket.send_all(&[request]) {
        Ok(_) => Ok(true),
        Err(NetlinkError::Change { source, .. }) => match source.raw_os_error() {
            Some(libc::ENOENT | libc::EOPNOTSUPP) => Ok(false),
            Some(libc::EINVAL) => Ok(true),
            _ => Err(NetlinkError::Change {
                verb: "try on",
                device: "lo".to_owned(),
                source,
            }),
        },
        Err(error) => Err(error),
    }
}

/// On loopback, which every namespace has as device 1.
fn qdisc(kind: &str) -> Request {
    let mut message = TcMessage::with_index(1);
    message.header.parent = if kind == "clsact" {
        TcHandle::CLSACT
    } else {
        TcHandle::ROOT
    };
    message.header.handle = if kind == "clsact" {
        TcHandle {
            major: u16::MAX,
            minor: 0,
        }
    } else {
        TcHandle { major: 1, minor: 0 }
    };
    message.attributes.push(TcAttribute::Kind(kind.to_owned()));
    Request {
        verb: "add a queue to",
        device: "lo".to_owned(),
        message: RouteNetlinkMessage::NewQueueDiscipline(message),
    }
}

fn classifier(kind: &str) -> Request {
    /// `ETH_P_ALL` (`linux/if_ether.h`), every protocol.
    const EVERY_PROTOCOL: u16 = 3;
    let mut message = TcMessage::with_index(1);
    message.header.parent = TcHandle {
        major: u16::MAX,
        minor: TcHandle::MIN_INGRESS,
    };
    // The priority 1 above the protocol in network byte order: `tcm_info` of rtnetlink(7).
    message.header.info = 1 << 16 | u32::from(EVERY_PROTOCOL.to_be());
    message.attributes.push(TcAttribute::Kind(kind.to_owned()));
    Request {
        verb: "add a classifier to",
        device: "lo".to_owned(),
        message: RouteNetlinkMessage::NewTrafficFilter(message),
    }
}

/// Runs `work` in a new network namespace. With the thread and the descriptor, it goes.
fn in_scratch<T: Send>(
    work: impl FnOnce(BorrowedFd<'_>) -> Result<T, NetlinkError> + Send,
) -> Result<T, NetlinkError> {
    let enter = || -> io::Result<File> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        File::open("/proc/thread-self/ns/net")
    };
    thread::scope(|threads| {
        threads
            .spawn(|| {
                let netns = enter().map_err(NetlinkError::Enter)?;
                work(netns.as_fd())
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use rtnetlink::packet_route::link::LinkAttribute;

    use super::*;
    use crate::netlink::{in_netns, leftovers, tests::scratch_netns};

    #[test]
    fn a_kind_that_nobody_has_is_not_there() {
        assert!(!has(Part::Qdisc("no-such-kind")).unwrap());
        assert!(!has(Part::Classifier("no-such-kind")).unwrap());
    }

    #[test]
    fn a_kind_that_every_kernel_has_is_there() {
        assert!(has(Part::Qdisc("pfifo")).unwrap());
    }

    #[test]
    fn a_trial_leaves_nothing_where_it_was_asked_for() {
        let here = scratch_netns();
        in_netns(here.as_fd(), detour).unwrap().unwrap();
        for queue in [|| hold().map(drop), netem] {
            let tried = in_netns(here.as_fd(), queue).unwrap();
            assert!(matches!(tried, Ok(()) | Err(NetlinkError::NoQueue { .. })));
        }
        in_netns(here.as_fd(), || has(Part::Qdisc("pfifo")))
            .unwrap()
            .unwrap();
        assert_eq!(leftovers(here.as_fd()).unwrap(), []);
        let lo = RouteSocket::open(here.as_fd()).unwrap().link("lo").unwrap();
        let qdisc = lo
            .unwrap()
            .attributes
            .into_iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Qdisc(kind) => Some(kind),
                _ => None,
            });
        assert_eq!(qdisc.as_deref(), Some("noop"));
    }
}
