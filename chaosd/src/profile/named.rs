//! Targets that are named as their runtime names them: one, or several that share something.

use std::{collections::BTreeMap, fmt, num::NonZeroU32};

use serde::Serialize;

use super::{resource::Pattern, units::Percent};

/// Those that answer to a name, and how many of them are hit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Named {
    /// The name.
    #[serde(flatten)]
    pub asked: Asked,
    /// The one runtime to ask: its name or its socket. `None`: all that are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The blast radius.
    #[serde(flatten)]
    pub choice: Choice,
}

/// What a target names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// One container, by its name or the beginning of its id. In a pod: `CONTAINER`, `POD/CONTAINER` or
    /// `NAMESPACE/POD/CONTAINER`.
    #[serde(rename = "container")]
    Container(String),
    /// Every running container with all of these labels, of any runtime that knows labels.
    #[serde(rename = "container")]
    Containers {
        /// Each of these labels has this value.
        labels: Labels,
    },
    /// One pod.
    Pod {
        /// Its namespace; `None`: in any, or of podman, whose pods have none.
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// Its name, or the beginning of its id.
        name: String,
    },
    /// Every ready pod with all of these labels. Only pods: containers are asked for as such.
    #[serde(rename = "pod")]
    Pods {
        /// In which namespace; `None`: in all of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// Each of these labels has this value.
        labels: Labels,
    },
    /// Units of systemd: a service (whose suffix may be left out), slice, scope, socket or mount.
    Unit(Pattern),
    /// Processes.
    Process {
        /// What the program is called: the last part of its path, or the name it gave itself.
        name: Pattern,
        /// A part of its command line.
        #[serde(skip_serializing_if = "Option::is_none")]
        args: Option<String>,
    },
}

/// Labels of containers and pods.
pub type Labels = BTreeMap<String, String>;

/// How many of those that answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Choice {
    /// All that are not excluded, or some of them, drawn by the run's seed.
    #[serde(flatten)]
    pub some: Option<Part>,
    /// Never these: names, in which `*` stands for any characters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Pattern>,
}

/// A part of those that answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// So many, or all where there are fewer.
    Count(NonZeroU32),
    /// Such a share, rounded down, but at least one.
    Percent(Percent),
}

/// `shop/web-0`, and `web` where there is no namespace.
pub fn full_name(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

impl Asked {
    /// True when several may answer, who are told apart by nothing that was asked.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Container(_) | Self::Pod { .. } => false,
            Self::Containers { .. } | Self::Pods { .. } | Self::Process { .. } => true,
            Self::Unit(name) => name.is_open(),
        }
    }

    /// `container`, `pod`, `unit` or `process`: the key of a target.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Container(_) | Self::Containers { .. } => "container",
            Self::Pod { .. } | Self::Pods { .. } => "pod",
            Self::Unit(_) => "unit",
            Self::Process { .. } => "process",
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container {name}"),
            Self::Containers { labels } => write!(f, "containers with {}", written(labels)),
            Self::Pod { namespace, name } => {
                write!(f, "pod {}", full_name(namespace.as_deref(), name))
            }
            Self::Pods { namespace, labels } => {
                write!(f, "pods with {}", written(labels))?;
                match namespace {
                    Some(namespace) => write!(f, " in {namespace}"),
                    None => Ok(()),
                }
            }
            Self::Unit(name) if name.is_open() => write!(f, "units {name}"),
            Self::Unit(name) => write!(f, "unit {name}"),
            Self::Process { name, args } => {
                write!(f, "processes {name}")?;
                match args {
                    Some(args) => write!(f, " with `{args}` in the command line"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn written(labels: &Labels) -> String {
    let words: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    words.join(",")
}
