//! What a client asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The body of `POST /v1/runs` and `POST /v1/plan`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The profile: its YAML text, or the same as an object.
    pub profile: Value,
    /// What reports and problems call it; `profile` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Values of the profile's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// How long, as people write it (`2m`); the profile's `for` when not given.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub run_for: Option<String>,
    /// Makes decisions repeatable; the profile's `seed` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Who suffers; the profile's `target` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetChoice>,
}

impl RunRequest {
    /// What reports and problems call the profile.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("profile")
    }

    /// The profile's text: JSON is YAML.
    pub fn text(&self) -> String {
        match &self.profile {
            Value::String(text) => text.clone(),
            document => document.to_string(),
        }
    }
}

/// Who suffers: one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetChoice {
    /// The network namespace chaosd runs in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host: bool,
    /// A cgroup and its subtree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// A process: its cgroup, in its network namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// A network namespace: a name under /run/netns or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
}
