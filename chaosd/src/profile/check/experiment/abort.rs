//! What ends an experiment early: a probe of the steady state that keeps failing, or a look of the
//! condition's own.

use std::time::Duration;

use super::kinds::PROBE_KINDS;
use crate::profile::{AbortOn, AbortSpec, ProbeKind, ProbeSpec, problem::Found, tree::Node};

const NAMED_KEYS: &[&str] = &["probe", "failing-for"];
/// Of a look of its own.
const OWN_KEYS: &[&str] = &["failing-for", "for"];

impl Found {
    /// `probes`: of the steady state; `None`: something is wrong with them, so that nobody knows their names.
    pub(super) fn aborts(
        &mut self,
        node: &Node,
        probes: Option<&[ProbeSpec]>,
    ) -> Option<Vec<AbortSpec>> {
        let what = "conditions, such as `- {probe: http, failing-for: 10s}`";
        let items = self.items(node, what)?;
        let read: Vec<_> = items.iter().map(|item| self.abort(item, probes)).collect();
        read.into_iter().collect()
    }

    fn abort(&mut self, node: &Node, probes: Option<&[ProbeSpec]>) -> Option<AbortSpec> {
        if node.get("probe").is_some() {
            return self.abort_named(node, probes);
        }
        let (fields, _) = self.probe_fields(node, OWN_KEYS)?;
        let probe = self.probe_of(&fields)?;
        let comes = matches!(
            probe.kind,
            ProbeKind::Prometheus { .. } | ProbeKind::Psi { .. } | ProbeKind::LoadAverage { .. }
        );
        let (wanted, other) = if comes {
            ("for", "failing-for")
        } else {
            ("failing-for", "for")
        };
        if let Some((key, _)) = fields.entry(other) {
            let what = format!(
                "{other} beside {}: the condition is that {}; write {wanted}",
                probe.kind.name(),
                if comes {
                    "its value is within the bound"
                } else {
                    "it fails"
                }
            );
            self.say(&key.at, what);
            return None;
        }
        for name in ["weight", "at-least", "name"] {
            if let Some((key, _)) = fields.entry(name) {
                let what =
                    format!("{name} in abort-when: it belongs to a probe of the steady state");
                self.say(&key.at, what);
                return None;
            }
        }
        let lasting = self.lasting(fields.get(wanted))?;
        let probe = Box::new(ProbeSpec {
            name: probe.kind.name().to_owned(),
            ..probe
        });
        Some(AbortSpec {
            on: if comes {
                AbortOn::Comes(probe)
            } else {
                AbortOn::Fails(probe)
            },
            lasting,
        })
    }

    fn abort_named(&mut self, node: &Node, probes: Option<&[ProbeSpec]>) -> Option<AbortSpec> {
        let fields = self.fields(node, "a condition", NAMED_KEYS)?;
        let lasting = self.lasting(fields.get("failing-for"))?;
        let node = fields.get("probe")?;
        let probes = probes?;
        let mut valid: Vec<&str> = probes.iter().map(|probe| probe.name.as_str()).collect();
        for kind in PROBE_KINDS {
            if probes.iter().any(|probe| probe.kind.name() == *kind) && !valid.contains(kind) {
                valid.push(kind);
            }
        }
        let name = self.one_of(node, "a probe of the steady state", &valid)?;
        let of_kind = |probe: &ProbeSpec| probe.kind.name() == name;
        let named = |probe: &ProbeSpec| probe.name == name;
        // Those that have the kind's name only because nobody gave them one: `http`, `http-2`.
        let numbered = |probe: &ProbeSpec| {
            let number = probe
                .name
                .strip_prefix(name.as_str())
                .and_then(|n| n.strip_prefix('-'));
            of_kind(probe) && number.is_some_and(|n| n.parse::<usize>().is_ok())
        };
        let any_named = probes.iter().any(named);
        let is_meant = |probe: &ProbeSpec| {
            if any_named {
                named(probe) || numbered(probe)
            } else {
                of_kind(probe)
            }
        };
        let which = (0..probes.len())
            .filter(|n| is_meant(&probes[*n]))
            .collect();
        Some(AbortSpec {
            on: AbortOn::Failing(which),
            lasting,
        })
    }

    fn lasting(&mut self, node: Option<&Node>) -> Option<Duration> {
        match node {
            Some(node) => self.duration(node),
            None => Some(Duration::ZERO),
        }
    }
}
