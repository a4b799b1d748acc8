//! What acts on the whole host takes: `clock`, `shutdown`.

use std::time::Duration;

use humantime::format_duration;

use crate::profile::{
    Clock, PowerAction, Shutdown, TimeService,
    problem::{Found, Place},
    tree::{Key, Node, Value},
};

use super::{CLOCK_KEYS, SHUTDOWN_KEYS};

/// From the announcement of a shutdown to it.
const NOTICE: Duration = Duration::from_secs(30);
/// Enough for a revert that waits for it.
const LEAST_NOTICE: Duration = Duration::from_secs(1);

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

    pub(super) fn shutdown(&mut self, key: &Key, node: &Node) -> Option<Shutdown> {
        if let Value::Text(_) = node.value {
            let action = self.power_action(node)?;
            return Some(Shutdown {
                action,
                notice: NOTICE,
            });
        }
        let fields = self.settings(key, node, SHUTDOWN_KEYS, "reboot")?;
        if fields.lacks("action") {
            self.say(&key.at, "shutdown needs an action: reboot or power-off");
        }
        let action = match fields.get("action") {
            Some(node) => self.power_action(node),
            None => None,
        };
        let notice = match fields.get("notice") {
            Some(node) => {
                let notice = self.duration(node)?;
                if notice < LEAST_NOTICE {
                    let what = "a notice is at least 1s, in which a revert calls it off";
                    self.say(&node.at, what);
                    return None;
                }
                notice
            }
            None => NOTICE,
        };
        Some(Shutdown {
            action: action?,
            notice,
        })
    }

    /// Refuses one that would be called off before its moment: it acts for so long at a time.
    pub(super) fn comes(&mut self, shutdown: &Shutdown, acts: Duration, at: &Place) {
        if shutdown.notice < acts {
            return;
        }
        let what = format!(
            "a notice of {}, and the fault is over after {}, which calls it off: give a shorter notice, or a longer for",
            format_duration(shutdown.notice),
            format_duration(acts)
        );
        self.say(at, what);
    }

    fn power_action(&mut self, node: &Node) -> Option<PowerAction> {
        let words = [
            ("reboot", PowerAction::Reboot),
            ("power-off", PowerAction::PowerOff),
        ];
        self.word(node, "reboot or power-off", &words)
    }
}
