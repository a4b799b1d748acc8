//! From what a container asks for to what the daemon is asked.

use std::time::Duration;

use crate::{
    api::RunRequest,
    profile::{self, FindError, Problems},
};

use super::Wish;

/// Why a wish cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Its file.
    #[error("annotation chaosd.profile: {0}")]
    Find(#[source] FindError),
    /// The profile is wrong, or `chaosd.set.` or `chaosd.for` do not go with it.
    #[error("annotation chaosd.profile: the profile {name} cannot be run\n{problems}")]
    Profile {
        /// Which.
        name: String,
        /// All of them.
        problems: Problems,
    },
}

/// Reads the profile and checks it with all that is said over its head, so that what is wrong with it is
/// told also where no daemon answers. How long a run may last the daemon knows.
pub fn request(wish: &Wish) -> Result<RunRequest, RequestError> {
    // A file of this name where the hook is started, which may be the container's own, is not read.
    let mut shipped = profile::shipped().iter();
    let (name, text) = match shipped.find(|shipped| shipped.name == wish.profile) {
        Some(shipped) => (shipped.name.to_owned(), shipped.text.to_owned()),
        None => profile::find(&wish.profile).map_err(RequestError::Find)?,
    };
    let request = RunRequest {
        profile: text.into(),
        name: Some(name),
        set: wish.set.clone(),
        run_for: wish.run_for.clone(),
        seed: wish.seed,
        ..RunRequest::default()
    };
    match request.load(Duration::MAX) {
        Ok(_) => Ok(request),
        Err(problems) => Err(RequestError::Profile {
            name: request.name().to_owned(),
            problems,
        }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn wish(profile: &str, set: &[(&str, &str)]) -> Wish {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Wish {
            profile: profile.to_owned(),
            set: set.iter().map(own).collect(),
            ..Wish::default()
        }
    }

    #[test]
    fn a_profile_that_ships_is_asked_for_with_its_settings() {
        let asked = request(&wish("packet-loss", &[("rate", "7%")])).unwrap();
        assert_eq!(asked.name(), "packet-loss");
        assert_eq!(asked.set["rate"], "7%");
        assert_eq!(asked.target, None);
        assert!(asked.text().contains("version: 1"));
    }

    #[test]
    fn what_is_wrong_is_told_before_a_daemon_is_asked() {
        let told = |wish: &Wish| request(wish).unwrap_err().to_string();
        let absent = told(&wish("/nonexistent/x.yaml", &[]));
        assert!(absent.contains("/nonexistent/x.yaml"), "{absent}");
        let unknown = told(&wish("packet-loss", &[("rtae", "7%")]));
        assert!(unknown.contains("rtae"), "{unknown}");
        let value = told(&wish("packet-loss", &[("rate", "many")]));
        assert!(value.contains("many"), "{value}");
        let dir = crate::journal::testing::TempDir::new();
        let path = dir.path().join("shop.yaml");
        let faults = "version: 1\nfaults: [{partition: {}}]\n";
        let asked = |text: &str| {
            std::fs::write(&path, text).unwrap();
            request(&wish(path.to_str().unwrap(), &[]))
        };
        asked(faults).unwrap();
        let condition = format!("{faults}abort-when: [{{load-average: {{above: 20}}}}]\n");
        let refused = asked(&condition).unwrap_err().to_string();
        assert!(refused.contains("an experiment"), "{refused}");
        let never = Wish {
            run_for: Some("soon".into()),
            ..wish("packet-loss", &[])
        };
        assert!(told(&never).contains("soon"), "{}", told(&never));
    }
}
