//! What the kinds take that hold packets or copy them.

use std::time::Duration;

use humantime::format_duration;

use crate::profile::{
    Bandwidth, Delay, Distribution, Duplicate, Jitter, LONGEST_HOLD, MOST_COPIES, Mean, Queue,
    Reorder, Share,
    problem::{Found, Mistake, quote},
    tree::{Key, Node, Value},
    units::{Percent, Rate, Size},
};

use super::{BANDWIDTH_KEYS, DELAY_KEYS, DUPLICATE_KEYS, REORDER_KEYS, read::Fields};

/// How much later a packet comes when nothing says another.
const DEFAULT_BY: Duration = Duration::from_millis(10);
const DISTRIBUTIONS: &[(&str, Distribution)] = &[
    ("uniform", Distribution::Uniform),
    ("normal", Distribution::Normal),
    ("pareto", Distribution::Pareto),
    ("paretonormal", Distribution::ParetoNormal),
];

impl Found {
    pub(super) fn delay(&mut self, key: &Key, node: &Node) -> Option<Delay> {
        if let Value::Text(_) = node.value {
            return Some(Delay {
                mean: Mean::Time(self.delay_without_jitter(node)?),
                jitter: None,
                keep_order: true,
            });
        }
        let fields = self.settings(key, node, DELAY_KEYS, "100ms")?;
        let jitter = self.jitter(&fields);
        let mean = self.mean(key, &fields, jitter.as_ref().map(Option::is_some));
        let keep_order = match fields.get("keep-order") {
            Some(node) => self.boolean(node),
            None => Some(true),
        };
        Some(Delay {
            mean: mean?,
            jitter: jitter?,
            keep_order: keep_order?,
        })
    }

    pub(super) fn delay_without_jitter(&mut self, node: &Node) -> Option<Duration> {
        let time = self.hold_time(node)?;
        if time.is_zero() {
            self.say(
                &node.at,
                "a delay of 0 without jitter does nothing: give more, or a jitter",
            );
            return None;
        }
        Some(time)
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one says whether all was well, as everywhere here"
    )]
    fn jitter(&mut self, fields: &Fields<'_>) -> Option<Option<Jitter>> {
        let width = match fields.get("jitter") {
            Some(node) => self.hold_time(node).map(Some),
            None => Some(None),
        };
        self.needs(fields, &["distribution", "correlation"], "jitter");
        let distribution = match fields.get("distribution") {
            Some(node) => self.distribution(node),
            None => Some(Distribution::Normal),
        };
        let correlation = match fields.get("correlation") {
            Some(node) => self.percent(node),
            None => Some(Percent::NONE),
        };
        let (width, distribution, correlation) = (width?, distribution?, correlation?);
        Some(width.filter(|width| !width.is_zero()).map(|width| Jitter {
            width,
            distribution,
            correlation,
        }))
    }

    /// Each of `names` that is given without `what` is reported.
    pub(super) fn needs(&mut self, fields: &Fields<'_>, names: &[&str], what: &str) {
        for name in names {
            if let Some((key, _)) = fields.entry(name)
                && fields.lacks(what)
            {
                let said = format!("{name} without {what}: there is nothing it could shape");
                self.say(&key.at, said);
            }
        }
    }

    /// One of the laws, `{table: PATH}`, or the path alone.
    pub(super) fn distribution(&mut self, node: &Node) -> Option<Distribution> {
        if let Value::Map(_) = node.value {
            let fields = self.fields(node, "distribution", &["table"])?;
            if fields.lacks("table") {
                self.say(
                    &node.at,
                    "distribution needs a name or a table, as in {table: /etc/wan.dist}",
                );
            }
            return self.table(fields.get("table")?);
        }
        let text = self.text(node)?.trim();
        if text.starts_with('/') {
            return self.table(node);
        }
        let names: Vec<(&str, usize)> = DISTRIBUTIONS
            .iter()
            .enumerate()
            .map(|(n, (name, _))| (*name, n))
            .collect();
        let what = "a distribution: uniform, normal, pareto, paretonormal or {table: /PATH}";
        let n = self.word(node, what, &names)?;
        DISTRIBUTIONS.get(n).map(|(_, law)| law.clone())
    }

    fn table(&mut self, node: &Node) -> Option<Distribution> {
        let path = self.text(node)?;
        if !path.starts_with('/') || path.contains('\0') {
            let what = format!(
                "{} is not an absolute path: the daemon that reads it has another directory",
                quote(path)
            );
            self.say(&node.at, what);
            return None;
        }
        Some(Distribution::Table(path.to_owned()))
    }

    /// From 0 to the longest hold.
    pub(super) fn hold_time(&mut self, node: &Node) -> Option<Duration> {
        let time = self.duration(node)?;
        if time > LONGEST_HOLD {
            let most = format_duration(LONGEST_HOLD).to_string();
            let what = format!(
                "{} is longer than {most}, the most that a packet is held",
                format_duration(time)
            );
            self.add(&node.at, Mistake::new(what).instead(most));
            return None;
        }
        Some(time)
    }

    /// The same, and not 0.
    pub(super) fn some_hold_time(&mut self, node: &Node) -> Option<Duration> {
        self.some_time(node)?;
        self.hold_time(node)
    }

    pub(super) fn reorder(&mut self, key: &Key, node: &Node) -> Option<Reorder> {
        if let Value::Text(_) = node.value {
            return Some(Reorder {
                rate: self.percent(node)?,
                by: DEFAULT_BY,
            });
        }
        let fields = self.settings(key, node, REORDER_KEYS, "5%")?;
        let rate = self.needed_rate(key, &fields, "5%");
        let by = match fields.get("by") {
            Some(node) => self.some_hold_time(node),
            None => Some(DEFAULT_BY),
        };
        Some(Reorder {
            rate: rate?,
            by: by?,
        })
    }

    pub(super) fn duplicate(&mut self, key: &Key, node: &Node) -> Option<Duplicate> {
        if let Value::Text(_) = node.value {
            return Some(Duplicate {
                rate: self.percent(node)?,
                copies: 1,
            });
        }
        let fields = self.settings(key, node, DUPLICATE_KEYS, "1%")?;
        let rate = self.needed_rate(key, &fields, "1%");
        let copies = match fields.get("copies") {
            Some(node) => self
                .integer::<u32>(node, "a number of copies", 0)
                .and_then(|copies| self.copies(node, copies)),
            None => Some(1),
        };
        Some(Duplicate {
            rate: rate?,
            copies: copies?,
        })
    }

    fn copies(&mut self, node: &Node, copies: u32) -> Option<u32> {
        if (1..=MOST_COPIES).contains(&copies) {
            return Some(copies);
        }
        let nearest = copies.clamp(1, MOST_COPIES).to_string();
        let what = format!("{copies} copies: 1 to {MOST_COPIES} can be made of a packet");
        self.add(&node.at, Mistake::new(what).instead(nearest));
        None
    }

    fn needed_rate(&mut self, key: &Key, fields: &Fields<'_>, such_as: &str) -> Option<Percent> {
        if fields.lacks("rate") {
            let what = format!("{} needs a rate, such as {such_as}", key.name);
            self.say(&key.at, what);
        }
        self.percent(fields.get("rate")?)
    }

    pub(super) fn bandwidth(&mut self, key: &Key, node: &Node) -> Option<Bandwidth> {
        if let Value::Text(_) = node.value {
            let rate = self.parse(node)?;
            return Some(Bandwidth {
                rate,
                burst: Size::NONE,
                queue: Bandwidth::default_queue(rate),
                per: Share::Fault,
            });
        }
        let fields = self.settings(key, node, BANDWIDTH_KEYS, "10mbit")?;
        if fields.lacks("rate") {
            self.say(&key.at, "bandwidth needs a rate, such as 10mbit");
        }
        let rate: Option<Rate> = fields.get("rate").and_then(|node| self.parse(node));
        let burst = match fields.get("burst") {
            Some(node) => self.size_within(node, rate),
            None => Some(Size::NONE),
        };
        let queue = match fields.get("queue") {
            Some(node) => self.queue(node, rate).map(Some),
            None => Some(None),
        };
        let per = match fields.get("per") {
            Some(node) => self.word(
                node,
                "who shares the link: fault (all matched packets) or flow (each has its own)",
                &[("fault", Share::Fault), ("flow", Share::Flow)],
            ),
            None => Some(Share::Fault),
        };
        let rate = rate?;
        Some(Bandwidth {
            rate,
            burst: burst?,
            queue: queue?.unwrap_or_else(|| Bandwidth::default_queue(rate)),
            per: per?,
        })
    }

    fn queue(&mut self, node: &Node, rate: Option<Rate>) -> Option<Queue> {
        let text = self.text(node)?.trim();
        if Size::looks_like(text) {
            return self.size_within(node, rate).map(Queue::Size);
        }
        if text.parse::<f64>().is_ok_and(|n| n != 0.0) {
            let what = format!(
                "{} is neither a size nor a duration, such as 64KB or 50ms",
                quote(text)
            );
            self.say(&node.at, what);
            return None;
        }
        self.hold_time(node).map(Queue::Time)
    }

    /// A size that passes within the longest hold.
    fn size_within(&mut self, node: &Node, rate: Option<Rate>) -> Option<Size> {
        let size: Size = self.parse(node)?;
        let Some(rate) = rate else {
            return Some(size);
        };
        let time = Bandwidth::time(rate, size);
        if time > LONGEST_HOLD {
            let what = format!(
                "{size} at {rate} takes {}, longer than {}",
                format_duration(Duration::from_secs(time.as_secs())),
                format_duration(LONGEST_HOLD)
            );
            self.say(&node.at, what);
            return None;
        }
        Some(size)
    }
}
