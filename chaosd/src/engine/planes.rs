//! The planes of an engine: opened when a fault needs a namespace, kept for a while, closed.

use std::{
    collections::BTreeMap,
    os::{fd::AsFd, unix::net::UnixDatagram},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Instant,
};

use crate::{
    bpf::{LEASE_NS, Matcher, Mechanism, Plane, PlaneError, Spare, Steering},
    clock::now_ns,
    instance::Instance,
    journal::JournalError,
    netlink::{
        self, Monitor, NetlinkError, PLANES,
        detour::{Detour, Role},
    },
    plan::{Interface, Netns, Plan},
    txn::{Applied, Txn, TxnError},
    undo::{Map, RevertReport, System, Undo},
    watchdog::Watchdog,
};

use super::{
    Command, loopback,
    pairs::{Maker, Pairs},
    queue::{LOOK, Left, Queue},
    spares::Spares,
};

/// Why a namespace could not be put under fault. What was done is undone.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Plane(#[from] PlaneError),
    #[error("{}", crate::undo::chain(.0))]
    Journal(#[from] JournalError),
    #[error("{}", crate::undo::chain(.0))]
    Txn(#[from] TxnError),
    #[error("failed to list the interfaces: {0}")]
    Netlink(#[from] NetlinkError),
    #[error("an engine holds at most {PLANES} network namespaces at once")]
    Full,
}

/// A plane, its journal, and its ear.
pub(super) struct Held {
    pub plane: Plane,
    /// Since when no fault is in it.
    pub idle: Option<Instant>,
    /// It is to be taken down as soon as nothing leaves it any more, unless another fault comes.
    pub closing: bool,
    /// The record by which the watchdog can disarm it.
    record: Applied,
    /// What hangs at interfaces in the place of links, by index.
    pub(super) filters: BTreeMap<u32, Applied>,
    pairs: Pairs,
    loopback: Option<Applied>,
    /// Its ear has told of changes, which nobody has looked at yet.
    changed: Arc<AtomicBool>,
    _monitor: Monitor,
    /// Holds the plane's number; last, for the number is free once nothing of the plane is left.
    _claim: UnixDatagram,
}

/// A plane that is ready for a plan.
pub(super) struct Ready {
    pub number: u32,
    /// The plan's own.
    pub netems: Vec<NetemOf>,
}

/// The netem of a fault.
pub(super) struct NetemOf {
    /// Its place in the plan.
    pub fault: usize,
    /// Of its pair, see [`Role::Netem`].
    pub number: u8,
    pub device: Detour,
}

/// All planes.
pub(super) struct Planes {
    held: Vec<Held>,
    pub(super) spares: Spares,
    system: Arc<dyn System>,
    instance: u32,
    mechanism: Mechanism,
    commands: mpsc::Sender<Command>,
    /// Here, for what takes long is done here, and it has to hear of us meanwhile.
    pub watchdog: Option<Watchdog>,
}

impl Planes {
    pub fn new(
        instance: u32,
        system: Arc<dyn System>,
        mechanism: Mechanism,
        commands: mpsc::Sender<Command>,
        watchdog: Watchdog,
        spares: Spares,
    ) -> Self {
        Self {
            held: Vec::new(),
            spares,
            system,
            instance,
            mechanism,
            commands,
            watchdog: Some(watchdog),
        }
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.iter_mut()
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Held> {
        self.held.iter_mut().find(|h| h.plane.number() == number)
    }

    pub fn get(&self, number: u32) -> Option<&Held> {
        self.held.iter().find(|h| h.plane.number() == number)
    }

    /// Takes a plane out of the list, so that others can be reached while it is worked on.
    pub fn take(&mut self, number: u32) -> Option<Held> {
        let i = self.held.iter().position(|h| h.plane.number() == number)?;
        Some(self.held.swap_remove(i))
    }

    /// The machine.
    pub fn system(&self) -> Arc<dyn System> {
        Arc::clone(&self.system)
    }

    /// Puts it back.
    pub fn put_back(&mut self, held: Held) -> &mut Held {
        self.held.push_mut(held)
    }

    /// Programs for a plane. It may take the verifier a second on a busy machine, in which others have to be
    /// vouched for.
    fn loaded(&mut self) -> Result<Spare, PlaneError> {
        let set = self.spares.take();
        loop {
            if let Some(loaded) = set.within(LOOK) {
                return loaded;
            }
            self.vouch();
        }
    }

    /// The plane of a plan's namespace, with its programs on every interface the plan wants, and
    /// the detour if it wants one. On failure a plane that nobody else uses is [`Held::closing`].
    pub fn prepare(&mut self, plan: &Plan, instance: &Instance) -> Result<Ready, OpenError> {
        let number = self.open(&plan.scope.netns, instance)?;
        let mut netems = Vec::new();
        if let Err(e) = self.equip(number, plan, instance, &mut netems) {
            let undone = self.drop_netems(number, &netems);
            if !undone.is_clean() {
                tracing::error!("{undone}");
            }
            if let Some(held) = self.get_mut(number) {
                held.closing = held.plane.is_idle();
            }
            return Err(e);
        }
        Ok(Ready { number, netems })
    }

    /// Deletes these netems of a plane, with what is in them.
    pub fn drop_netems(&mut self, number: u32, devices: &[NetemOf]) -> RevertReport {
        if devices.is_empty() {
            return RevertReport::default();
        }
        let Some(mut held) = self.take(number) else {
            return RevertReport::default();
        };
        let report = held.pairs.drop_netems(&mut held.plane, devices, |plane| {
            if !plane.is_idle() {
                plane.lease(now_ns() + LEASE_NS);
            }
            self.vouch();
        });
        self.put_back(held);
        report
    }

    fn open(&mut self, netns: &Netns, instance: &Instance) -> Result<u32, OpenError> {
        let same = |h: &&Held| {
            let n = h.plane.netns();
            (n.dev, n.ino) == (netns.dev, netns.ino) && !h.plane.is_fenced()
        };
        if let Some(held) = self.held.iter_mut().find(|h| same(&&**h)) {
            held.closing = false;
            return Ok(held.plane.number());
        }
        let (number, claim) = self.claim(netns)?;
        let spare = self.loaded()?;
        let plane = Plane::open(number, netns.clone(), spare)?.by(self.mechanism);
        let journal = instance.journal(&format!("plane-{number}"))?;
        let mut txn = Txn::begin(journal, Arc::clone(&self.system));
        // The map exists and is harmless: what the record is for is the watchdog, which can disarm
        // by it.
        let map = Map {
            id: plane.control_id(),
            name: "CONTROL".into(),
        };
        txn.step(Undo::Map(map), || Ok(()), |()| Ok(()))?;
        let commands = self.commands.clone();
        let changed = Arc::new(AtomicBool::new(false));
        let is_told = Arc::clone(&changed);
        let monitor = netlink::monitor(netns.fd.as_fd(), move |change| match change {
            Ok(()) => {
                // Once, however many there are until the engine looks.
                if !is_told.swap(true, Ordering::AcqRel) {
                    commands.send(Command::Changed(number)).ok();
                }
            }
            Err(e) => tracing::warn!("interfaces that appear from now on are not covered: {e}"),
        })?;
        self.held.push(Held {
            plane,
            idle: Some(Instant::now()),
            closing: false,
            record: txn.commit()?,
            filters: BTreeMap::new(),
            pairs: Pairs::default(),
            loopback: None,
            changed,
            _monitor: monitor,
            _claim: claim,
        });
        Ok(number)
    }

    /// A plane number that nobody else has in this namespace, another chaosd with another state
    /// directory included.
    fn claim(&self, netns: &Netns) -> Result<(u32, UnixDatagram), OpenError> {
        let own = (0..PLANES).map(|n| self.instance * PLANES + n);
        for number in own.chain(0..PLANES * PLANES) {
            if self.get(number).is_some() {
                continue;
            }
            match netlink::claim_plane(netns.fd.as_fd(), number) {
                Ok(claim) => return Ok((number, claim)),
                Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(e) => return Err(PlaneError::Netns(e).into()),
            }
        }
        Err(OpenError::Full)
    }

    fn equip(
        &mut self,
        number: u32,
        plan: &Plan,
        instance: &Instance,
        netems: &mut Vec<NetemOf>,
    ) -> Result<(), OpenError> {
        let system = Arc::clone(&self.system);
        let held = self.get_mut(number).ok_or(OpenError::Full)?;
        let interfaces = netlink::interfaces(plan.scope.netns.fd.as_fd())?;
        let wanted: Vec<&Interface> = interfaces
            .iter()
            .filter(|i| {
                plan.faults
                    .iter()
                    .any(|f| f.rule.matcher.wants(&i.name, i.default, i.loopback))
            })
            .collect();
        // Those that come later are taken for such.
        let ethernet = wanted.is_empty() || wanted.iter().any(|i| i.ethernet);
        let any = |needs: fn(&Matcher) -> bool| {
            ethernet && plan.faults.iter().any(|f| needs(&f.rule.matcher))
        };
        let (segment, queue) = (any(|m| m.steering != Steering::Never), any(|m| m.holds));
        let detour = segment || queue || any(|m| m.netem);
        let maker = Maker {
            instance,
            system: &system,
        };
        if segment {
            held.pairs.want_segment(&mut held.plane, &maker)?;
        }
        if queue {
            held.pairs.want_hold(&mut held.plane, &maker)?;
        }
        let seed = plan.seeded.then_some(plan.seed);
        for (fault, planned) in plan.faults.iter().enumerate() {
            if let Some(netem) = &planned.rule.netem
                && ethernet
            {
                let queue = netem.queue(seed);
                let (number, device) = held.pairs.add_netem(&mut held.plane, &maker, queue)?;
                netems.push(NetemOf {
                    fault,
                    number,
                    device,
                });
            }
        }
        if detour && wanted.iter().any(|i| i.loopback) && held.loopback.is_none() {
            held.loopback = Some(loopback::open(&held.plane, instance, &system)?);
        }
        for interface in wanted {
            self.vouch();
            let held = self.get_mut(number).ok_or(OpenError::Full)?;
            held.attach(interface, instance, &system)?;
        }
        let held = self.get_mut(number).ok_or(OpenError::Full)?;
        // A plan that protects nobody takes nothing from the runs beside it.
        if held.plane.is_idle() || !plan.scope.protected.is_empty() {
            held.plane.protect(&plan.scope.protected)?;
        }
        Ok(())
    }

    /// Tells the watchdog and the programs of armed planes that the engine lives. Between steps
    /// that take the kernel 16 ms each, on however many interfaces.
    pub fn vouch(&mut self) {
        if let Some(watchdog) = &self.watchdog
            && let Err(e) = watchdog.heartbeat()
        {
            // The next tick finds out, and starts another.
            tracing::debug!("{e}");
        }
        let until = now_ns() + LEASE_NS;
        let mut armed = self.held.iter_mut();
        while let Some(held) = armed.find(|held| !held.plane.is_idle() && !held.closing) {
            held.plane.lease(until);
        }
    }

    /// Looks at the interfaces of a plane again. Returns the pairs that are gone: somebody deleted
    /// them, and nothing is steered there any more.
    pub fn reconcile(&mut self, number: u32, instance: &Instance) -> Vec<Role> {
        let system = Arc::clone(&self.system);
        let Some(held) = self.get_mut(number) else {
            return Vec::new();
        };
        // What changes from here on is told anew.
        held.changed.store(false, Ordering::Release);
        let there = match netlink::interfaces(held.plane.netns().fd.as_fd()) {
            Ok(there) => there,
            Err(e) => {
                tracing::warn!("failed to look at the interfaces again: {e}");
                return Vec::new();
            }
        };
        let gone = |index: u32| there.iter().all(|i| i.index != index);
        // They are no interfaces of the target's: they are found by their names and alias.
        let lost = held.pairs.lost(&mut held.plane);
        let attached: Vec<u32> = held.plane.attached().map(|(i, _)| i).collect();
        for index in attached.into_iter().filter(|i| gone(*i)) {
            tracing::info!(index, "an interface is gone");
            let undone = held.detach(index);
            if !undone.is_clean() {
                tracing::error!("{undone}");
            }
        }
        for interface in &there {
            self.vouch();
            let Some(held) = self.get_mut(number) else {
                break;
            };
            if !held.plane.wants(interface) {
                continue;
            }
            let new = held.plane.attached().all(|(i, _)| i != interface.index);
            match held.attach(interface, instance, &system) {
                Ok(()) if new => {
                    tracing::info!(interface = interface.name, "a new interface is covered");
                }
                Ok(()) => {}
                Err(e) => tracing::warn!("{e}"),
            }
        }
        lost
    }

    /// Takes a plane down, and everything it changed. What is in its devices still is lost.
    pub fn close(&mut self, number: u32) -> RevertReport {
        let mut report = RevertReport::default();
        if let Some(held) = self.get_mut(number) {
            held.closing = true;
        }
        while self.close_further(number, &mut report) {
            self.vouch();
        }
        report
    }

    /// The next step of [`Planes::close`]: a program off an interface, or at last all devices. False: it is
    /// gone.
    pub fn close_further(&mut self, number: u32, report: &mut RevertReport) -> bool {
        if let Some(held) = self.get_mut(number) {
            // Every packet passes from now on.
            held.plane.lease(0);
            if held.take_one_off(report) {
                return true;
            }
        }
        let Some(mut held) = self.take(number) else {
            return false;
        };
        held.plane.shut();
        // The newest first.
        if let Some(loopback) = held.loopback.take() {
            report.merge(loopback.revert());
        }
        report.merge(held.pairs.revert());
        report.merge(held.record.revert());
        false
    }

    /// Waits until the hold queues of all planes are empty, for when there is no engine any more that
    /// could look at them in passing.
    fn let_go(&mut self) {
        let mut queues: Vec<(u32, Queue)> = Vec::new();
        for held in &mut self.held {
            held.closing = true;
            held.plane.lease(0);
            let queue = Queue::hold(&held.plane);
            queues.extend(queue.map(|queue| (held.plane.number(), queue)));
        }
        loop {
            queues.retain_mut(|(number, queue)| {
                let plane = self.get(*number).map(|held| &held.plane);
                plane.is_some_and(|plane| match queue.look(plane) {
                    Left::Nothing => false,
                    Left::Some => true,
                    Left::Lost(packets) => {
                        tracing::warn!(plane = number, "{packets} held packets are lost");
                        false
                    }
                })
            });
            if queues.is_empty() {
                return;
            }
            self.vouch();
            std::thread::sleep(LOOK);
        }
    }

    /// Takes every plane down.
    pub fn close_all(&mut self) -> RevertReport {
        let mut report = RevertReport::default();
        for number in self.numbers() {
            report.merge(self.close(number));
        }
        report
    }

    /// Numbers of the planes there are.
    pub fn numbers(&self) -> Vec<u32> {
        self.held.iter().map(|h| h.plane.number()).collect()
    }
}

/// Unwinding reverts.
impl Drop for Planes {
    fn drop(&mut self) {
        self.let_go();
        let report = self.close_all();
        if !report.is_clean() {
            tracing::error!("{report}");
        }
    }
}
