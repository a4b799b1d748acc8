//! What `clock` takes.

use crate::profile::{
    Clock, TimeService,
    problem::Found,
    tree::{Key, Node, Value},
};

use super::CLOCK_KEYS;

impl Found {
    pub(super) fn clock(&mut self, key: &Key, node: &Node) -> Option<Clock> {
        if let Value::Text(_) = node.value {
            let offset = self.parse(node)?;
            return Some(Clock {
                offset: Some(offset),
                drift: None,
                time_service: TimeService::None,
            });
        }
        let fields = self.settings(key, node, CLOCK_KEYS, "5m")?;
        if fields.lacks("offset") && fields.lacks("drift") {
            self.say(
                &key.at,
                "clock needs an offset, such as 5m or -1h, or a drift, such as 200ppm",
            );
            return None;
        }
        let offset = match fields.get("offset") {
            Some(node) => self.parse(node).map(Some),
            None => Some(None),
        };
        let drift = match fields.get("drift") {
            Some(node) => self.parse(node).map(Some),
            None => Some(None),
        };
        let time_service = match fields.get("time-service") {
            Some(node) => self.word(
                node,
                "stop or none",
                &[("stop", TimeService::Stop), ("none", TimeService::None)],
            ),
            None => Some(TimeService::None),
        };
        Some(Clock {
            offset: offset?,
            drift: drift?,
            time_service: time_service?,
        })
    }
}
