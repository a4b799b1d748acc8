//! From what a target names to those that answer to it: asks each runtime that may know, all at once, and
//! decides between their answers.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;

use crate::alike::nearest;

use super::{
    Asked, Member, RuntimeError,
    choose::{Found, Heard},
    cri::Cri,
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
                let (cris, silent) = self.cris(&picked, only, within).await?;
                let (mut near, mut answered, mut trouble) = (Vec::new(), false, silent);
                for cri in cris {
                    match cri.pod(namespace, name).await {
                        Ok(Ok(member)) => return Ok(vec![member]),
                        Ok(Err(nearest)) => {
                            answered = true;
                            near.extend(nearest);
                        }
                        Err(error @ RuntimeError::NotReady { .. }) => return Err(error),
                        Err(error) => trouble.push(error),
                    }
                }
                if !answered && trouble.len() == 1 {
                    return Err(trouble.swap_remove(0));
                }
                Err(RuntimeError::NoPod {
                    name: format!("{namespace}/{name}"),
                    nearest: near,
                    silent: words(&trouble),
                })
            }
            Asked::Pods { namespace, labels } => {
                let (cris, mut trouble) = self.cris(&picked, only, within).await?;
                let asking = cris
                    .iter()
                    .map(|cri| cri.pods(namespace.as_deref(), labels));
                let mut found = Vec::new();
                for answer in join_all(asking).await {
                    match answer {
                        Ok(members) => found.extend(members),
                        Err(error) => trouble.push(error),
                    }
                }
                some(asked, found, &trouble)
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
        let (apis, mut trouble) = self.container_apis(picked, only, within).await?;
        let answers = join_all(apis.iter().map(|api| api.container(name))).await;
        let (mut found, mut several, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for answer in answers {
            match answer {
                Ok(Heard::One(one)) => found.push(*one),
                Ok(Heard::Several(candidates)) => several.extend(candidates),
                Ok(Heard::Nobody(known)) => names.extend(known),
                Err(error) => trouble.push(error),
            }
        }
        let (looks, kind) = oci_of(picked);
        if looks {
            let roots = self.places.oci_roots();
            let known: Vec<String> = found.iter().map(|one| one.id.clone()).collect();
            let more = oci::containers(&roots, name, kind);
            // A higher runtime's word for the same container is the better one. Where it says that several
            // fit, it has named them all.
            found.extend(
                more.into_iter()
                    .filter(|one| several.is_empty() && !known.contains(&one.id)),
            );
            names.extend(oci::names(&roots, kind));
        }
        decide(name, found, several, &names, trouble)
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
            let known: Vec<String> = found.iter().map(|one| one.id.clone()).collect();
            let more = oci::labelled(&self.places.oci_roots(), labels, kind);
            found.extend(more.into_iter().filter(|one| !known.contains(&one.id)));
        }
        // What ended meanwhile is no match any more.
        let members = found.into_iter().filter_map(|one| one.member.ok());
        some(asked, members.collect(), &trouble)
    }

    /// Those that know containers, and why others do not say.
    async fn container_apis(
        &self,
        picked: &Picked,
        only: Option<&str>,
        within: Duration,
    ) -> Result<(Vec<Api>, Vec<RuntimeError>), RuntimeError> {
        match picked {
            Picked::Systemd => Err(unable(
                only,
                "a container",
                &["docker", "podman", "containerd", "cri-o", "crun", "runc"],
            )),
            Picked::Oci(_) => Ok((Vec::new(), Vec::new())),
            _ => {
                let (apis, mut trouble) = self.apis(picked, within).await?;
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
                Ok((apis, trouble))
            }
        }
    }

    async fn cris(
        &self,
        picked: &Picked,
        only: Option<&str>,
        within: Duration,
    ) -> Result<(Vec<Cri>, Vec<RuntimeError>), RuntimeError> {
        if matches!(picked, Picked::Oci(_) | Picked::Systemd) {
            return Err(unable(only, "a pod", &["containerd", "cri-o"]));
        }
        let (apis, trouble) = self.apis(picked, within).await?;
        let others = apis.len();
        let cris: Vec<Cri> = apis
            .into_iter()
            .filter_map(|api| match api {
                Api::Cri(cri) => Some(cri),
                Api::Docker(_) => None,
            })
            .collect();
        if !cris.is_empty() {
            return Ok((cris, trouble));
        }
        match trouble.into_iter().next() {
            Some(error) => Err(error),
            None if only.is_some() && others > 0 => {
                Err(unable(only, "a pod", &["containerd", "cri-o"]))
            }
            None => Err(RuntimeError::NoRuntime {
                what: "runtime that knows pods",
                looked: self.places.looked_for_pods(),
            }),
        }
    }
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

fn some(asked: &Asked, found: Vec<Member>, trouble: &[RuntimeError]) -> Answer {
    if !found.is_empty() {
        return Ok(found);
    }
    Err(RuntimeError::NoMatch {
        asked: asked.to_string(),
        silent: words(trouble),
    })
}

fn unable(only: Option<&str>, what: &'static str, able: &[&'static str]) -> RuntimeError {
    RuntimeError::Unable {
        runtime: only.unwrap_or_default().to_owned(),
        what,
        able: able.to_vec(),
    }
}

/// Which of those found is meant: one by its name before one by its id, one that runs before one that does
/// not.
fn decide(
    name: &str,
    found: Vec<Found>,
    several: Vec<String>,
    names: &[String],
    mut trouble: Vec<RuntimeError>,
) -> Answer {
    let by_name = found.iter().any(|one| one.named);
    let found: Vec<Found> = found
        .into_iter()
        .filter(|one| one.named || !by_name)
        .collect();
    let (running, not): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| one.member.is_ok());
    let mut members: Vec<Member> = running
        .into_iter()
        .filter_map(|one| one.member.ok())
        .collect();
    if members.len() == 1 && (by_name || several.is_empty()) {
        return Ok(members);
    }
    let mut candidates = several;
    candidates.extend(members.drain(..).map(|member| member.label));
    if !candidates.is_empty() {
        return Err(RuntimeError::Ambiguous {
            name: name.to_owned(),
            candidates,
        });
    }
    if let Some(error) = not.into_iter().find_map(|one| one.member.err()) {
        return Err(error);
    }
    // Nobody who answered knows any container.
    if names.is_empty() && trouble.len() == 1 {
        return Err(trouble.swap_remove(0));
    }
    Err(RuntimeError::NoContainer {
        name: name.to_owned(),
        nearest: nearest(name, names.iter().map(String::as_str)),
        silent: words(&trouble),
    })
}
