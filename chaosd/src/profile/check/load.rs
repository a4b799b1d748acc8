//! What takes CPU time and memory: `cpu`, `memory`.

use std::{num::NonZeroU32, time::Duration};

use crate::profile::{
    Cpu, LoadOf, Memory, MemoryOf, Much,
    problem::{Found, Mistake, quote},
    tree::{Key, Node, Value},
    units::{Percent, Size},
};

use super::{CPU_KEYS, MEMORY_KEYS, matching::once_each};

/// What burners take (`burn/work.rs`).
const SLICES: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(1);
const DEFAULT_SLICE: Duration = Duration::from_millis(100);

impl Found {
    pub(super) fn cpu(&mut self, key: &Key, node: &Node) -> Option<Cpu> {
        let mut cpu = Cpu {
            load: Percent::ALL,
            of: LoadOf::Quota,
            cores: None,
            cpus: Vec::new(),
            slice: DEFAULT_SLICE,
            priority: None,
        };
        if let Value::Text(_) = node.value {
            cpu.load = self.some_share(node)?;
            return Some(cpu);
        }
        let fields = self.settings(key, node, CPU_KEYS, "50%")?;
        if fields.lacks("load") {
            self.say(&key.at, "cpu needs a load, such as 50%");
        }
        let load = fields.get("load").and_then(|node| self.some_share(node));
        let of = match fields.get("of") {
            Some(node) => self.word(
                node,
                "what load is a share of: quota (the target's CPU time) or core",
                &[("quota", LoadOf::Quota), ("core", LoadOf::Core)],
            ),
            None => Some(LoadOf::Quota),
        };
        if let (Some((_, _)), Some((key, _))) = (fields.entry("cores"), fields.entry("cpus")) {
            self.say(&key.at, "cpus beside cores: one of them says which");
        }
        let cores = match fields.get("cores") {
            Some(node) => self
                .integer(node, "a number of cores, from 1", 1)
                .map(NonZeroU32::new),
            None => Some(None),
        };
        let cpus = match fields.get("cpus") {
            Some(node) => self.list(node, cpus).map(|lists| once_each(lists.concat())),
            None => Some(Vec::new()),
        };
        let slice = match fields.get("slice") {
            Some(node) => self
                .some_time(node)
                .and_then(|slice| self.slice(node, slice)),
            None => Some(DEFAULT_SLICE),
        };
        let priority = match fields.get("priority") {
            Some(node) => self.nice(node).map(Some),
            None => Some(None),
        };
        Some(Cpu {
            load: load?,
            of: of?,
            cores: cores?,
            cpus: cpus?,
            slice: slice?,
            priority: priority?,
        })
    }

    pub(super) fn some_share(&mut self, node: &Node) -> Option<Percent> {
        let share = self.percent(node)?;
        if share.is_none() {
            self.say(&node.at, "0% is nothing: give more, such as 50%");
            return None;
        }
        Some(share)
    }

    fn slice(&mut self, node: &Node, slice: Duration) -> Option<Duration> {
        if SLICES.contains(&slice) {
            return Some(slice);
        }
        let nearest = slice.clamp(*SLICES.start(), *SLICES.end());
        let what = format!(
            "a slice of {}: it takes 1ms to 1s",
            humantime::format_duration(slice)
        );
        let nearest = humantime::format_duration(nearest).to_string();
        self.add(&node.at, Mistake::new(what).instead(nearest));
        None
    }

    fn nice(&mut self, node: &Node) -> Option<i8> {
        let text = self.text(node)?.to_owned();
        let nice = text.trim().parse::<i8>().ok();
        let nice = nice.filter(|nice| (-20..=19).contains(nice));
        if nice.is_none() {
            let what = format!(
                "{} is not a nice value from -20 (first) to 19 (last)",
                quote(&text)
            );
            self.say(&node.at, what);
        }
        nice
    }

    pub(super) fn memory(&mut self, key: &Key, node: &Node) -> Option<Memory> {
        let mut memory = Memory {
            much: Much::Size(Size::NONE),
            of: MemoryOf::Limit,
            swap: false,
            oom: false,
        };
        if let Value::Text(text) = &node.value {
            memory.much = if text.trim().ends_with('%') {
                Much::Percent(self.some_share(node)?)
            } else {
                Much::Size(self.some_size(node)?)
            };
            return Some(memory);
        }
        let fields = self.settings(key, node, MEMORY_KEYS, "256MiB")?;
        let ways = ["size", "percent", "leave"];
        let given: Vec<_> = ways.iter().filter_map(|name| fields.entry(name)).collect();
        for (key, _) in given.iter().skip(1) {
            let what = format!(
                "{} beside {}: one of them decides",
                key.name, given[0].0.name
            );
            self.say(&key.at, what);
        }
        if given.is_empty() && ways.iter().all(|name| fields.lacks(name)) {
            self.say(
                &key.at,
                "memory needs size, percent or leave, such as size: 256MiB",
            );
        }
        let much: Vec<Option<Much>> = given
            .iter()
            .map(|(key, node)| match key.name.as_str() {
                "size" => self.some_size(node).map(Much::Size),
                "percent" => self.some_share(node).map(Much::Percent),
                _ => self.some_size(node).map(Much::Leave),
            })
            .collect();
        let of = match fields.get("of") {
            Some(node) => self.word(
                node,
                "whose memory: limit (the target's) or host",
                &[("limit", MemoryOf::Limit), ("host", MemoryOf::Host)],
            ),
            None => Some(MemoryOf::Limit),
        };
        let [swap, oom] = ["swap", "oom"].map(|name| match fields.get(name) {
            Some(node) => self.boolean(node),
            None => Some(false),
        });
        Some(Memory {
            much: much.into_iter().next()??,
            of: of?,
            swap: swap?,
            oom: oom?,
        })
    }

    pub(super) fn some_size(&mut self, node: &Node) -> Option<Size> {
        let size = self.parse::<Size>(node)?;
        if size == Size::NONE {
            self.say(&node.at, "0 bytes are nothing: give more, such as 256MiB");
            return None;
        }
        Some(size)
    }
}

/// `3` or `0-3`.
fn cpus(text: &str) -> Result<Vec<u32>, Mistake> {
    let bad = || {
        Mistake::new(format!(
            "{} is not a CPU or a range of them, such as 0-3",
            quote(text)
        ))
    };
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|cpu| *cpu < 8192);
    let range = match text.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)),
        None => number(text).map(|cpu| (cpu, cpu)),
    };
    let (first, last) = range
        .filter(|(first, last)| first <= last)
        .ok_or_else(bad)?;
    Ok((first..=last).collect())
}
