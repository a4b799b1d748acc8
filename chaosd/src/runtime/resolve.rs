//! From what a target names to those that answer to it: asks each runtime that may know, all at once, and
//! decides between their answers.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;

use crate::{alike::nearest, profile::full_name};

use super::{
    Asked, KNOW_CONTAINERS, Member, RuntimeError,
    choose::{Candidate, Found, Heard, once, once_each, shown},
    cri::DOCKERS,
    hub::{Api, Hub, Picked},
    oci, process,
};

/// What a caller gets.
pub(super) type Answer = Result<Vec<Member>, RuntimeError>;

impl Hub {
    pub(super) async fn find(&self, asked: &Asked, only: Option<&str>, within: Duration) -> Answer {
        let picked = self.pick(only)?;
        match asked {
            Asked::Container(name) => self.container(name, &picked, only, within).await,
            Asked::Containers { labels } => {
                self.containers(asked, labels, &picked, only, within).await
            }
            Asked::Pod { namespace, name } => {
                let namespace = namespace.as_deref();
                self.pod(namespace, name, &picked, only, within).await
            }
            Asked::Pods { namespace, labels } => {
                let (apis, mut trouble) = self.pod_apis(&picked, only, within).await?;
                let asking = apis
                    .iter()
                    .map(|api| api.pods(namespace.as_deref(), labels));
                let mut found = Vec::new();
                for answer in join_all(asking).await {
                    match answer {
                        Ok(pods) => found.extend(pods),
                        Err(error) => trouble.push(error),
                    }
                }
                some(asked, found, trouble)
            }
            Asked::Unit(name) => match picked {
                Picked::All | Picked::Systemd => {
                    let systemd = self.systemd(within).await?;
                    if name.is_open() {
                        systemd.units(name).await
                    } else {
                        Ok(vec![systemd.unit(&name.to_string()).await?])
                    }
                }
                _ => Err(unable(only, "a unit", &["systemd"])),
            },
            Asked::Process { name, args } => match picked {
                Picked::All => process::find(name, args.as_deref()),
                _ => Err(unable(only, "a process", &[])),
            },
        }
    }

    async fn container(
        &self,
        name: &str,
        picked: &Picked,
        only: Option<&str>,
        within: Duration,
    ) -> Answer {
        let (apis, trouble) = self.container_apis(picked, only, within).await?;
        let answers = join_all(apis.iter().map(|api| api.container(name))).await;
        let mut told = Told::new(answers, trouble);
        let (looks, kind) = oci_of(picked);
        if looks {
            let roots = self.places.oci_roots();
            // Where a higher runtime says that several fit, it has named them all.
            if told.several.is_empty() {
                told.found.extend(oci::containers(&roots, name, kind));
            }
            told.names.extend(oci::names(&roots, kind));
        }
        told.decide(name, |names, silent| RuntimeError::NoContainer {
            name: name.to_owned(),
            nearest: nearest(name, names.iter().map(String::as_str)),
            silent,
        })
    }

    async fn pod(
        &self,
        namespace: Option<&str>,
        name: &str,
        picked: &Picked,
        only: Option<&str>,
        within: Duration,
    ) -> Answer {
        let (apis, trouble) = self.pod_apis(picked, only, within).await?;
        let answers = join_all(apis.iter().map(|api| api.pod(namespace, name))).await;
        let typed = full_name(namespace, name);
        Told::new(answers, trouble).decide(&typed, |names, silent| RuntimeError::NoPod {
            nearest: nearest_pods(namespace, name, names),
            name: typed.clone(),
            silent,
        })
    }

    async fn containers(
        &self,
        asked: &Asked,
        labels: &BTreeMap<String, String>,
        picked: &Picked,
        only: Option<&str>,
        within: Duration,
    ) -> Answer {
        let (apis, mut trouble) = self.container_apis(picked, only, within).await?;
        let mut found = Vec::new();
        for answer in join_all(apis.iter().map(|api| api.labelled(labels))).await {
            match answer {
                Ok(some) => found.extend(some),
                Err(error) => trouble.push(error),
            }
        }
        let (looks, kind) = oci_of(picked);
        if looks {
            found.extend(oci::labelled(&self.places.oci_roots(), labels, kind));
        }
        some(asked, found, trouble)
    }

    /// Those that know containers, first who knows most of them, and why others do not say.
    async fn container_apis(
        &self,
        picked: &Picked,
        only: Option<&str>,
        within: Duration,
    ) -> Result<(Vec<Api>, Vec<RuntimeError>), RuntimeError> {
        match picked {
            Picked::Systemd => Err(unable(only, "a container", &KNOW_CONTAINERS)),
            Picked::Oci(_) => Ok((Vec::new(), Vec::new())),
            _ => {
                let (mut apis, mut trouble) = self.apis(picked, within).await?;
                let nobody = apis.is_empty() && trouble.is_empty();
                if nobody && self.places.oci_roots().is_empty() {
                    return Err(RuntimeError::NoRuntime {
                        what: "container runtime",
                        looked: self.places.looked(),
                    });
                }
                if only.is_some() && apis.is_empty() && !trouble.is_empty() {
                    return Err(trouble.swap_remove(0));
                }
                apis.sort_by_key(Api::rank);
                Ok((apis, trouble))
            }
        }
    }

    /// Those that know pods, and why others do not say.
    async fn pod_apis(
        &self,
        picked: &Picked,
        only: Option<&str>,
        within: Duration,
    ) -> Result<(Vec<Api>, Vec<RuntimeError>), RuntimeError> {
        let able = ["podman", "containerd", "cri-o", DOCKERS];
        let unable = || unable(only, "a pod", &able);
        if matches!(picked, Picked::Oci(_) | Picked::Systemd) {
            return Err(unable());
        }
        let (mut apis, trouble) = self.apis(picked, within).await?;
        let others = apis.len();
        apis.retain(Api::knows_pods);
        if !apis.is_empty() {
            return Ok((apis, trouble));
        }
        match trouble.into_iter().next() {
            Some(error) => Err(error),
            None if only.is_some() && others > 0 => Err(unable()),
            None => Err(RuntimeError::NoRuntime {
                what: "runtime that knows pods",
                looked: self.places.looked_for_pods(),
            }),
        }
    }
}

/// What runtimes answered about a name.
struct Told {
    found: Vec<Found>,
    several: Vec<Candidate>,
    /// That are known to those who have nobody of that name.
    names: Vec<String>,
    trouble: Vec<RuntimeError>,
}

fn words(trouble: &[RuntimeError]) -> Vec<String> {
    trouble.iter().map(ToString::to_string).collect()
}

/// Whether files of crun and runc are looked at, and whose alone.
fn oci_of(picked: &Picked) -> (bool, Option<&'static str>) {
    match picked {
        Picked::All => (true, None),
        Picked::Oci(kind) => (true, *kind),
        _ => (false, None),
    }
}

/// Those of them that run.
fn some(asked: &Asked, found: Vec<Found>, mut trouble: Vec<RuntimeError>) -> Answer {
    let (mut running, mut idle) = (Vec::new(), 0);
    for one in once(found) {
        match one.member {
            Ok(member) => running.push(member),
            // One that ended meanwhile may be started again, too.
            Err(RuntimeError::Ended { .. }) => idle += 1,
            Err(error) if error.is_stopped() => idle += 1,
            Err(error @ (RuntimeError::Silent { .. } | RuntimeError::Ask { .. })) => {
                trouble.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    let (asked, silent) = (asked.to_string(), words(&trouble));
    match (running.is_empty(), idle) {
        (false, _) => Ok(told_of(running, &silent)),
        (true, 0) => Err(RuntimeError::NoMatch { asked, silent }),
        (true, of) => Err(RuntimeError::NoneRuns { asked, of, silent }),
    }
}

/// The same, each with who may know of more.
fn told_of(mut members: Vec<Member>, silent: &[String]) -> Vec<Member> {
    for member in &mut members {
        let notes = silent.iter();
        let notes =
            notes.map(|why| format!("{why}: whoever is meant there too is not hit, nor counted"));
        member.notes.extend(notes);
    }
    members
}

fn unable(only: Option<&str>, what: &'static str, able: &[&'static str]) -> RuntimeError {
    RuntimeError::Unable {
        runtime: only.unwrap_or_default().to_owned(),
        what,
        able: able.to_vec(),
    }
}

/// The names that were perhaps meant. One may have been typed without a namespace that it has, or with one
/// though it has none.
fn nearest_pods(namespace: Option<&str>, typed: &str, names: &[String]) -> Vec<String> {
    let own = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    if namespace.is_some() {
        let mut near = nearest(
            &full_name(namespace, typed),
            names.iter().map(String::as_str),
        );
        let bare = names.iter().find(|name| *name == typed);
        near.extend(bare.cloned());
        return near;
    }
    let owns: Vec<String> = names.iter().map(|name| own(name)).collect();
    let near = nearest(typed, owns.iter().map(String::as_str));
    let whole = |near: &String| names.iter().find(|name| own(name) == *near).cloned();
    near.iter().filter_map(whole).collect()
}

impl Told {
    fn new(answers: Vec<Result<Heard, RuntimeError>>, trouble: Vec<RuntimeError>) -> Self {
        let mut told = Self {
            found: Vec::new(),
            several: Vec::new(),
            names: Vec::new(),
            trouble,
        };
        for answer in answers {
            match answer {
                Ok(Heard::One(one)) => told.found.push(*one),
                Ok(Heard::Several(candidates)) => told.several.extend(candidates),
                Ok(Heard::Nobody(known)) => told.names.extend(known),
                Err(error) => told.trouble.push(error),
            }
        }
        told
    }

    /// Which of those found is meant: one by its name before one by its id, one that runs before one that
    /// does not. The beginning of an id means nobody while one who does not answer may know that very name.
    /// `nobody` says that there is none, with the names that there are and why others do not say.
    fn decide(
        mut self,
        name: &str,
        nobody: impl FnOnce(&[String], Vec<String>) -> RuntimeError,
    ) -> Answer {
        let found = once(self.found);
        let by_name = found.iter().any(|one| one.named);
        let run = found.iter().filter(|one| one.member.is_ok()).count();
        if !by_name
            && run < 2
            && self.several.is_empty()
            && !self.trouble.is_empty()
            && let Some(one) = found.iter().max_by_key(|one| one.member.is_ok())
        {
            return Err(RuntimeError::Doubtful {
                name: name.to_owned(),
                id: shown(&one.id).to_owned(),
                silent: words(&self.trouble),
            });
        }
        let meant = found.into_iter();
        let meant = meant.filter(|one| one.named || !by_name);
        let (running, not): (Vec<_>, Vec<_>) = meant.partition(|one| one.member.is_ok());
        let running = running.into_iter();
        let mut running: Vec<(String, Member)> = running
            .filter_map(|one| Some((one.id, one.member.ok()?)))
            .collect();
        if running.len() == 1 && (by_name || self.several.is_empty()) {
            let members = running.drain(..).map(|(_, member)| member).collect();
            return Ok(told_of(members, &words(&self.trouble)));
        }
        let mut candidates = self.several;
        let more = running.into_iter();
        candidates.extend(more.map(|(id, member)| Candidate::new(&id, member.label)));
        if !candidates.is_empty() {
            let candidates = once_each(candidates).into_iter();
            return Err(RuntimeError::Ambiguous {
                name: name.to_owned(),
                candidates: candidates.map(|one| one.label).collect(),
            });
        }
        if let Some(error) = not.into_iter().find_map(|one| one.member.err()) {
            return Err(error);
        }
        // Nobody who answered knows any.
        if self.names.is_empty() && self.trouble.len() == 1 {
            return Err(self.trouble.swap_remove(0));
        }
        Err(nobody(&self.names, words(&self.trouble)))
    }
}
