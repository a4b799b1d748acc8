//! One network namespace under fault: attach, install, arm, disarm.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd},
};

use aya::{
    maps::MapError,
    programs::{ProgramError, SchedClassifier, cgroup_skb::CgroupSkbLink, tc::SchedClassifierLink},
};
use chaosd_ebpf::{
    Bits, Fault, FaultState, FlowKey, HAS_L2, LOOPBACK, MAX_FAULTS, MAX_RUNS, Run, TABLE_LEN,
};
use ipnet::IpNet;

use crate::{
    clock::now_ns,
    netlink::{NetlinkError, filters::Program},
    plan::{Interface, Netns},
    sys::bpf as pod,
    undo::Hook,
};

use crate::bpf::{
    Mechanism,
    matcher::{Matcher, PeerSet},
    object::{Loaded, Object},
    tables::Tables,
};

mod attach;
mod counters;
mod delays;
mod devices;
mod far_end;
mod names;
mod quantiles;

use attach::Attached;
use delays::Delays;
use devices::Devices;
use names::Names;
pub use names::{DnsRule, Hit, Name, NameSet};
use quantiles::Quantiles;

/// What failed on the way to the kernel.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The object was refused: too old a kernel, lockdown, no capability.
    #[error("failed to load the programs: {0}")]
    Load(#[source] Box<aya::EbpfError>),
    /// The object lacks a part.
    #[error("the object file has no {0}")]
    Missing(&'static str),
    /// A program was refused.
    #[error("failed to load program {name}: {source}")]
    Program {
        /// Which.
        name: String,
        /// The verifier's answer.
        source: ProgramError,
    },
    /// A map was refused.
    #[error("failed to write map {0}: {1}")]
    Map(&'static str, #[source] io::Error),
    /// A link was refused.
    #[error("failed to attach to {interface}: {source}")]
    Attach {
        /// Interface or cgroup.
        interface: String,
        /// The kernel's answer.
        source: ProgramError,
    },
    /// A filter was refused.
    #[error("failed to attach to {interface}: {}", crate::undo::chain(.source))]
    Hang {
        /// Interface.
        interface: String,
        /// The kernel's answer.
        source: NetlinkError,
    },
    /// The link is there and the program is not.
    #[error("attached to {interface}, but the kernel does not list the program")]
    NotAttached {
        /// Interface.
        interface: String,
    },
    /// The namespace could not be entered.
    #[error("failed to enter the network namespace: {0}")]
    Netns(#[source] io::Error),
    /// A table is full.
    #[error("a plane holds at most {max} {what} at once")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many.
        max: usize,
    },
}

fn map_error(name: &'static str) -> impl FnOnce(MapError) -> PlaneError {
    move |e| PlaneError::Map(name, io::Error::other(e))
}

/// Loaded programs without a plane: loading takes the verifier longer than everything else.
#[derive(Debug)]
pub struct Spare(Loaded);

impl Spare {
    /// Loads every program; attaches none.
    pub fn load() -> Result<Self, PlaneError> {
        Loaded::load().map(Self)
    }
}

/// See the module's page.
#[derive(Debug)]
pub struct Plane {
    number: u32,
    netns: Netns,
    // Declared, and so dropped, in this order: first nothing is steered any more, then the links at
    // the far ends go.
    attached: BTreeMap<u32, Attached>,
    /// At interfaces that were let go.
    released: Vec<SchedClassifierLink>,
    cgroups: BTreeMap<u64, (CgroupSkbLink, u32)>,
    devices: Devices,
    mechanism: Mechanism,
    object: Object,
    tables: Tables,
    quantiles: Quantiles,
    delays: Delays,
    names: Names,
    runs: [bool; MAX_RUNS as usize],
    next_run: usize,
    lease_ns: u64,
}

impl Plane {
    /// A plane that is attached nowhere. `number` tells planes of one machine apart (0 to 4095).
    pub fn open(number: u32, netns: Netns, Spare(loaded): Spare) -> Result<Self, PlaneError> {
        let mut object = Object::open(loaded)?;
        object.control.update(0, |c| c.plane = number);
        Ok(Self {
            number,
            netns,
            attached: BTreeMap::new(),
            released: Vec::new(),
            cgroups: BTreeMap::new(),
            devices: Devices::default(),
            mechanism: Mechanism::of_this_kernel(),
            quantiles: Quantiles::default(),
            delays: Delays::default(),
            names: Names::default(),
            object,
            tables: Tables::default(),
            runs: [false; MAX_RUNS as usize],
            next_run: 0,
            lease_ns: 0,
        })
    }

    /// The same plane, attached otherwise than this kernel would choose.
    #[must_use]
    pub fn by(mut self, mechanism: Mechanism) -> Self {
        self.mechanism = mechanism;
        self
    }

    /// How its programs come onto interfaces.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The control map's id, for the journal.
    pub fn control_id(&self) -> u32 {
        self.object.control_id
    }

    /// Reserves a run: its faults refer to it, [`Plane::arm`] arms them all.
    pub fn reserve_run(&mut self) -> Result<u32, PlaneError> {
        // Each in its turn: held packets know their run by its place, which is not to be another's soon.
        let runs = self.runs.len();
        let run = (self.next_run..self.next_run + runs)
            .map(|place| place % runs)
            .find(|place| !self.runs[*place])
            .ok_or(PlaneError::Full {
                what: "runs",
                max: MAX_RUNS as usize,
            })?;
        self.runs[run] = true;
        self.next_run = run + 1;
        self.object.runs.set(run, Run::default());
        u32::try_from(run).map_err(|_| PlaneError::Full {
            what: "runs",
            max: MAX_RUNS as usize,
        })
    }

    /// Gives a run back, disarmed.
    pub fn release_run(&mut self, run: u32) {
        self.disarm(run);
        self.runs[run as usize] = false;
    }

    /// Writes a fault into the tables. It acts once its run is armed and [`Plane::refresh`] was called.
    /// `quantiles`: the distribution of its jitter, when it brings one of its own. `times`: the delays
    /// of its peers in ns, when it is [`chaosd_ebpf::BY_PEER`].
    pub fn install(
        &mut self,
        matcher: Matcher,
        mut fault: Fault,
        quantiles: Option<&[i32; TABLE_LEN]>,
        times: &[(IpNet, u64)],
    ) -> Result<u8, PlaneError> {
        let n = (0..=u8::MAX)
            .find(|n| !self.tables.matchers().contains_key(n))
            .ok_or(PlaneError::Full {
                what: "faults",
                max: MAX_FAULTS,
            })?;
        self.object.states.set(n.into(), FaultState::default());
        self.reset_counts(n)?;
        if matcher.holds && !self.tables.matchers().values().any(|m| m.holds) {
            // What packets of an earlier run were to leave at is nothing to those of this one.
            self.object.flows()?.zero();
        }
        self.quantiles
            .provide(&mut self.object, n, &mut fault.hold, quantiles)?;
        self.object.faults.set(n.into(), fault);
        let written = self
            .delays
            .provide(&mut self.object, n, times)
            .and_then(|()| self.tables.add(&mut self.object, n, matcher));
        if let Err(e) = written {
            self.object.faults.set(n.into(), Fault::default());
            self.tables.remove(&mut self.object, n).ok();
            self.quantiles.forget(n);
            self.delays.forget(&mut self.object, n).ok();
            return Err(e);
        }
        Ok(n)
    }

    /// Takes a fault out. Its run should be disarmed.
    pub fn uninstall(&mut self, n: u8) -> Result<(), PlaneError> {
        let result = self.tables.remove(&mut self.object, n);
        self.refresh();
        self.object.faults.set(n.into(), Fault::default());
        self.quantiles.forget(n);
        result
            .and(self.delays.forget(&mut self.object, n))
            .and(self.names.forget(&mut self.object, n))
    }

    /// Replaces a fault's peers.
    pub fn change_peers(&mut self, n: u8, peers: PeerSet) -> Result<(), PlaneError> {
        self.tables.change_peers(&mut self.object, n, Some(peers))
    }

    /// Tells every interface which faults it carries.
    pub fn refresh(&mut self) {
        let indices: Vec<u32> = self.attached.keys().copied().collect();
        for index in indices {
            self.write_iface(index);
        }
    }

    fn write_iface(&mut self, index: u32) {
        let Some(a) = self.attached.get_mut(&index) else {
            return;
        };
        let mut bits = [Bits::NONE; 2];
        for (&n, m) in self.tables.matchers() {
            let wanted = m.wants(&a.name, a.default, a.loopback);
            for (direction, bits) in bits.iter_mut().enumerate() {
                if wanted && m.directions[direction] {
                    bits.set(n);
                }
            }
        }
        a.bits = bits;
        let iface = chaosd_ebpf::Iface {
            index,
            slot: a.slot,
            flags: if a.ethernet { HAS_L2 } else { 0 } | if a.loopback { LOOPBACK } else { 0 },
            pad: 0,
            bits,
        };
        self.object.ifaces.set(a.slot as usize, iface);
    }

    /// Connections that faults leave alone. Replaces the list.
    pub fn protect(&mut self, flows: &[FlowKey]) -> Result<(), PlaneError> {
        let old: Vec<_> = self
            .object
            .protected
            .keys()
            .filter_map(Result::ok)
            .collect();
        for flow in flows {
            self.object
                .protected
                .insert(pod::FlowKey(*flow), 1, 0)
                .map_err(map_error("PROTECTED"))?;
        }
        for key in old.iter().filter(|k| !flows.contains(&k.0)) {
            self.object
                .protected
                .remove(key)
                .map_err(map_error("PROTECTED"))?;
        }
        Ok(())
    }

    /// Arms a run by one store. `until_ns`: the run's end; times are `CLOCK_MONOTONIC`.
    pub fn arm(&mut self, run: u32, start_ns: u64, until_ns: u64) {
        let i = run as usize;
        self.object.runs.set_field(i, |r| &mut r.start_ns, start_ns);
        self.object
            .runs
            .set_field(i, |r| &mut r.deadline_ns, until_ns);
    }

    /// Disarms a run by one store.
    pub fn disarm(&mut self, run: u32) {
        let run = run as usize;
        if self.object.runs.get(run).deadline_ns != 0 {
            // What is held of it leaves from now on, and in order.
            self.object
                .runs
                .set_field(run, |r| &mut r.ended_ns, now_ns());
        }
        self.object.runs.set_field(run, |r| &mut r.deadline_ns, 0);
    }

    /// Vouches for the plane until then; 0 lets every packet pass.
    pub fn lease(&mut self, until_ns: u64) {
        if self.lease_ns != until_ns {
            self.lease_ns = until_ns;
            self.object
                .control
                .set_field(0, |c| &mut c.lease_ns, until_ns);
        }
    }

    /// True when the watchdog took the plane away.
    pub fn is_fenced(&self) -> bool {
        self.object.control.get(0).fence != 0
    }

    /// True when a fault in the tables belongs on this interface.
    pub fn wants(&self, i: &Interface) -> bool {
        self.tables
            .matchers()
            .values()
            .any(|m| m.wants(&i.name, i.default, i.loopback))
    }

    /// True when this fault has an interface to act on.
    pub fn covers(&self, m: &Matcher) -> bool {
        self.attached
            .values()
            .any(|a| m.wants(&a.name, a.default, a.loopback))
    }

    /// True when no fault stands in its tables.
    pub fn is_idle(&self) -> bool {
        self.tables.matchers().is_empty()
    }

    /// Hands the programs' log lines to `tracing`.
    pub fn flush_log(&mut self) {
        self.object.flush_log();
    }

    /// The loaded classifier `egress`, `ingress` or `detour`, for [`crate::sys::test_run`].
    pub fn program(&self, name: &str) -> Option<BorrowedFd<'_>> {
        let program: &SchedClassifier = self.object.ebpf.program(name)?.try_into().ok()?;
        Some(program.fd().ok()?.as_fd())
    }

    /// What hangs at an interface when links do not: to be hung before [`Plane::attach`].
    pub fn programs(&self) -> Result<[Program<'_>; 2], PlaneError> {
        Ok([
            self.program_at(Hook::Egress, "egress")?,
            self.program_at(Hook::Ingress, "ingress")?,
        ])
    }

    fn program_at(&self, hook: Hook, name: &'static str) -> Result<Program<'_>, PlaneError> {
        let wrong = |source| PlaneError::Program {
            name: name.to_owned(),
            source,
        };
        let program = self.object.ebpf.program(name);
        let program: &SchedClassifier = program
            .ok_or(PlaneError::Missing(name))?
            .try_into()
            .map_err(wrong)?;
        Ok(Program {
            hook,
            fd: program.fd().map_err(wrong)?.as_fd(),
            id: program.info().map_err(wrong)?.id(),
        })
    }
}
