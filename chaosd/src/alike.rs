//! The names that somebody who mistyped one has perhaps meant.

/// Least likeness, from 0 to 1, of a name that was perhaps meant (`strsim::jaro_winkler`).
const MIN_LIKENESS: f64 = 0.8;
/// How many are offered.
const MAX_OFFERED: usize = 3;

/// How much alike they are, up to 1; `None`: so little that the one was not meant by the other.
pub fn likeness(typed: &str, name: &str) -> Option<f64> {
    Some(strsim::jaro_winkler(typed, name)).filter(|likeness| *likeness >= MIN_LIKENESS)
}

/// The names most like the one typed, the likest first.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut alike: Vec<(f64, &str)> = names
        .into_iter()
        .filter_map(|name| Some((likeness(typed, name)?, name)))
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    alike.dedup_by_key(|(_, name)| *name);
    alike.truncate(MAX_OFFERED);
    alike.into_iter().map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_are_offered_the_likest_first() {
        let names = ["shop-db", "shop-web", "nginx", "shop-db"];
        assert_eq!(nearest("shop-bd", names), ["shop-db", "shop-web"]);
        assert!(nearest("zzz", names).is_empty());
    }
}
