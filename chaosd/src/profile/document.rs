//! A checked profile as a document that `load` reads back to an equal one.

use serde_json::{Map, Value, json};

use super::{
    CorruptMode, Direction, FaultSpec, Kind, Loss, Match, Profile, Pulse, ResetEnd, Resource,
    Target, Timeline, Whom,
    units::{Percent, PortSet},
};

impl Profile {
    /// The canonical document: every parameter filled in, only what differs from the defaults,
    /// and `for`. Of an experiment, whose stages fill parameters in by themselves: as it was written,
    /// with the parameters that were set, and what else was said over its head.
    pub fn to_document(&self) -> Value {
        if let Some(experiment) = &self.experiment {
            return experiment.document.clone();
        }
        let mut out = Map::new();
        out.insert("version".into(), json!(1));
        if !self.about.is_empty() {
            // A literal `${` must not read back as a parameter.
            out.insert("about".into(), json!(self.about.replace("${", "$${")));
        }
        out.insert("for".into(), time(self.run_for));
        if let Some(seed) = self.seed {
            out.insert("seed".into(), json!(seed));
        }
        let target = match &self.target {
            Whom::At(place) => target(place),
            Whom::Named(named) => written(named),
        };
        out.insert("target".into(), target);
        out.insert("faults".into(), self.faults.iter().map(fault).collect());
        Value::Object(out)
    }
}

fn time(duration: std::time::Duration) -> Value {
    humantime::format_duration(duration).to_string().into()
}

fn share(percent: Percent) -> Value {
    format!("{}%", percent.get()).into()
}

fn target(target: &Target) -> Value {
    match target {
        Target::Host => json!("host"),
        Target::Cgroup(path) => json!({ "cgroup": literal(&path.to_string_lossy()) }),
        Target::Pid(pid) => json!({ "pid": pid }),
        Target::Netns(path) => json!({ "netns": literal(&path.to_string_lossy()) }),
    }
}

fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

fn fault(fault: &FaultSpec) -> Value {
    let mut out = Map::new();
    out.insert("name".into(), json!(fault.name));
    out.insert(fault.kind.name().into(), kind(&fault.kind));
    let matching = matching(&fault.matching);
    if !matching.is_empty() {
        out.insert("match".into(), Value::Object(matching));
    }
    timeline(&fault.timeline, &mut out);
    if fault.unprotected {
        out.insert("unprotected".into(), json!(true));
    }
    Value::Object(out)
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Drop(drop) => {
            let mut out = Map::new();
            match &drop.model {
                Loss::Rate(rate) => out.insert("rate".into(), share(*rate)),
                Loss::Every(n) => out.insert("every".into(), json!(n)),
                Loss::GilbertElliott(model) => out.insert(
                    "gilbert-elliott".into(),
                    json!({
                        "p": share(model.p),
                        "r": share(model.r),
                        "good": share(model.good),
                        "bad": share(model.bad),
                    }),
                ),
            };
            if drop.whole_skb {
                out.insert("whole-skb".into(), json!(true));
            }
            Value::Object(out)
        }
        Kind::Corrupt(corrupt) => json!({
            "rate": share(corrupt.rate),
            "bits": corrupt.bits,
            "mode": match corrupt.mode {
                CorruptMode::Detected => "detected",
                CorruptMode::Undetected => "undetected",
            },
        }),
        Kind::Delay(delay) => written(delay),
        Kind::Reorder(reorder) => written(reorder),
        Kind::Duplicate(duplicate) => written(duplicate),
        Kind::Bandwidth(bandwidth) => written(bandwidth),
        Kind::Netem(netem) => written(netem),
        Kind::Dns(dns) => written(dns),
        Kind::Resource(Resource::Process(process)) => written(process),
        Kind::Resource(Resource::Freeze(freeze)) => written(freeze),
        Kind::Resource(Resource::CpuQuota(quota)) => written(quota),
        Kind::Resource(Resource::Disk(disk)) => written(disk),
        Kind::Resource(Resource::DiskFill(fill)) => written(fill),
        Kind::Resource(Resource::Cpu(cpu)) => written(cpu),
        Kind::Resource(Resource::Memory(memory)) => written(memory),
        Kind::Resource(Resource::DiskError(error)) => written(error),
        Kind::Resource(Resource::Pids(pids)) => written(pids),
        Kind::Resource(Resource::Clock(clock)) => written(clock),
        Kind::Resource(Resource::Shutdown(shutdown)) => written(shutdown),
        Kind::Resource(Resource::DiskLatency(latency)) => written(latency),
        Kind::Resource(Resource::DiskBurn(burn)) => written(burn),
        Kind::Partition => json!({}),
        Kind::Reset(reset) => json!({
            "rate": share(reset.rate),
            "to": match reset.to {
                ResetEnd::Both => "both",
                ResetEnd::Local => "local",
                ResetEnd::Remote => "remote",
            },
        }),
    }
}

/// The kinds whose serialized form is the form of a profile, but for `${`. It is of words and
/// numbers under keys of our own, which is all JSON has, so that nothing can fail.
fn written(kind: &impl serde::Serialize) -> Value {
    serde_json::to_value(kind).map_or(Value::Null, escaped)
}

fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => literal(&text).into(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, escaped(v))).collect(),
        Value::Array(list) => list.into_iter().map(escaped).collect(),
        value => value,
    }
}

fn matching(matching: &Match) -> Map<String, Value> {
    let mut out = Map::new();
    let mut list = |name: &str, words: Vec<String>| {
        if !words.is_empty() {
            out.insert(name.into(), words.into());
        }
    };
    list(
        "peers",
        matching.peers.iter().map(ToString::to_string).collect(),
    );
    list(
        "not-peers",
        matching.not_peers.iter().map(ToString::to_string).collect(),
    );
    list(
        "ports",
        matching.ports.iter().flat_map(PortSet::words).collect(),
    );
    list(
        "local-ports",
        matching
            .local_ports
            .iter()
            .flat_map(PortSet::words)
            .collect(),
    );
    list(
        "flags",
        matching
            .flags
            .iter()
            .flat_map(|flags| flags.words())
            .collect(),
    );
    list(
        "interfaces",
        matching
            .interfaces
            .iter()
            .map(|name| literal(name))
            .collect(),
    );
    if let Some(protocol) = matching.protocol {
        out.insert("protocol".into(), protocol.name().into());
    }
    if matching.direction != Direction::Both {
        out.insert("direction".into(), matching.direction.name().into());
    }
    if let Some(flows) = matching.flows {
        out.insert("flows".into(), share(flows));
    }
    out
}

fn timeline(timeline: &Timeline, out: &mut Map<String, Value>) {
    if !timeline.after.is_zero() {
        out.insert("after".into(), time(timeline.after));
    }
    if let Some(lasts) = timeline.lasts {
        out.insert("for".into(), time(lasts));
    }
    if !timeline.ramp.is_zero() {
        out.insert("ramp".into(), time(timeline.ramp));
    }
    if let Some(Pulse { on, off }) = timeline.pulse {
        out.insert("pulse".into(), json!({ "on": time(on), "off": time(off) }));
    }
}
